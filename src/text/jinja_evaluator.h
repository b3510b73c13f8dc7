/// Runs a template.
#pragma once

#include <map>

#include "guerdon/base/json_reader.h"
#include "text/jinja_ast.h"
#include "text/jinja_value.h"

namespace guerdon::text::jinja {

/// The variables of one call of a function (a macro, the body of a {% call %}, the template
/// itself).
class Activation final : public Object, public Ring {
 public:
  Activation(Heap& heap, int32_t slots, std::shared_ptr<Activation> outer)
      : Object(&heap, static_cast<size_t>(slots) * sizeof(Value) + 128),
        Ring(heap),
        variables(static_cast<size_t>(slots), Value::missing()),
        parent(std::move(outer)) {}
  ~Activation() override { leave(take_values()); }
  std::vector<Value> take_values() override { return std::exchange(variables, {}); }

  std::vector<Value> variables;
  const std::shared_ptr<Activation> parent;  ///< of the function around
};
using ActivationPtr = std::shared_ptr<Activation>;

class Evaluator {
 public:
  /// `variables` is an object; all three must outlive the evaluator.
  Evaluator(const Tree& tree, const Json& variables, Heap& heap);

  /// Throws Fault, or the Error of raise_exception().
  Rendered run();

  /// Calls a macro; gives its text.
  Value invoke(const Function& function, const ActivationPtr& closure, Arguments& arguments);
  /// Runs a recursive loop over `iterable`; gives its text.
  Value recurse(const For& loop, const ActivationPtr& closure, const Value& iterable,
                int64_t depth);

 private:
  enum class Flow { on, stop, next };  ///< stop and next: a break or continue is under way

  // jinja_expression_values.cpp
  Value evaluate(const Expression& expression);
  Value evaluate(const ExpressionPtr& expression) { return evaluate(*expression); }
  Value value_of(const Literal& node) { return node.value; }
  Value value_of(const Name& node);
  Value value_of(const Attribute& node);
  Value value_of(const Item& node);
  Value value_of(const Slice& node);
  Value value_of(const Call& node) { return call(node, nullptr); }
  Value value_of(const FilterCall& node);
  Value value_of(const TestCall& node);
  Value value_of(const Unary& node);
  Value value_of(const Arithmetic& node);
  Value value_of(const Compare& node);
  Value value_of(const Logic& node);
  Value value_of(const Concat& node);
  Value value_of(const Conditional& node);
  Value value_of(const ListDisplay& node);
  Value value_of(const DictDisplay& node);
  Value call(const Call& node, const Value* caller);
  Arguments arguments_of(const CallArguments& node);

  // jinja_evaluator.cpp
  Flow run(const Body& body);
  Flow run(const Statement& statement);
  Flow execute(const Data& node);
  Flow execute(const Output& node);
  Flow execute(const If& node);
  Flow execute(const For& node);
  Flow execute(const Set& node);
  Flow execute(const SetBlock& node);
  Flow execute(const Macro& node);
  Flow execute(const CallBlock& node);
  Flow execute(const Generation& node);
  Flow execute(const FilterBlock& node);
  Flow execute(const With& node);
  Flow execute(const Break&) { return Flow::stop; }
  Flow execute(const Continue&) { return Flow::next; }

  Flow loop_over(const For& node, const Value& iterable, int64_t depth,
                 const ActivationPtr& closure);
  void enter(const Scope& scope);
  void leave(const Scope& scope);
  Value& variable(Slot slot);
  void assign(const Target& target, const Value& value);
  Value context_variable(const std::string& name);
  Value macro_value(const Function& function);
  Value filtered(const ExpressionPtr& filter, const Value& text);
  void write(std::string_view text);
  /// Runs `action` with its output kept apart, and gives that.
  template <class Action>
  std::string captured(const Action& action);

  const Tree& tree_;
  const Json& variables_;
  Heap& heap_;
  std::string now_;
  std::map<std::string, Value> context_;  ///< the caller's variables that have been asked for
  ActivationPtr activation_;
  std::string output_;
  std::string* target_ = &output_;
  std::vector<Rendered::Span> spans_;
  const Value* block_text_ = nullptr;  ///< what the filter of a block works on
  int64_t calls_ = 0, nesting_ = 0;
};

}  // namespace guerdon::text::jinja
