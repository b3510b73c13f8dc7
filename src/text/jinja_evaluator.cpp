#include "text/jinja_evaluator.h"

#include <nlohmann/json.hpp>

#include "text/jinja_access.h"
#include "text/jinja_functions.h"
#include "text/jinja_json.h"
#include "text/jinja_loop.h"
#include "text/jinja_nesting.h"
#include "text/jinja_print.h"

namespace guerdon::text::jinja {
namespace {

class MacroValue final : public Host {
 public:
  MacroValue(Heap* heap, Evaluator& evaluator, const Function& function, ActivationPtr closure)
      : Host(heap, 128), evaluator_(evaluator), function_(function), closure_(std::move(closure)) {}
  std::string type_name() const override { return "jinja2.runtime.Macro"; }
  std::string describe(Heap&) override {
    return function_.name.empty() ? "<Macro anonymous>" : "<Macro " + quote(function_.name) + ">";
  }
  std::optional<Value> attribute(Heap& heap, std::string_view name) override {
    if (name == "name") return function_.name.empty() ? Value() : heap.text(function_.name);
    if (name == "caller") return Value::boolean(function_.caller >= 0);
    if (name == "catch_kwargs") return Value::boolean(function_.kwargs >= 0);
    if (name == "catch_varargs") return Value::boolean(function_.varargs >= 0);
    if (name != "arguments") return std::nullopt;
    std::vector<Value> names;
    for (const Target& parameter : function_.parameters) names.push_back(heap.text(parameter.name));
    return heap.tuple(std::move(names));
  }
  Value call(Heap&, Arguments& arguments) override {
    return evaluator_.invoke(function_, closure_, arguments);
  }

 private:
  Evaluator& evaluator_;
  const Function& function_;
  const ActivationPtr closure_;
};

Value take_named(Arguments& arguments, std::string_view name) {
  for (auto at = arguments.named.begin(); at != arguments.named.end(); ++at) {
    if (at->first != name) continue;
    Value value = std::move(at->second);
    arguments.named.erase(at);
    return value;
  }
  return Value::missing();
}

}  // namespace

Evaluator::Evaluator(const Tree& tree, const Json& variables, Heap& heap)
    : tree_(tree),
      variables_(variables),
      heap_(heap),
      activation_(std::make_shared<Activation>(heap, tree.root.slots, nullptr)) {
  const auto now = variables.find("strftime_now_iso");
  if (now != variables.end() && now->is_string()) now_ = now->get<std::string>();
}

Rendered Evaluator::run() {
  enter(tree_.root.scope);
  run(tree_.root.body);
  // A marked block whose text was caught and dropped would reach past the end.
  const auto end = static_cast<int64_t>(output_.size());
  for (Rendered::Span& span : spans_) span = {std::min(span.begin, end), std::min(span.end, end)};
  return {std::move(output_), std::move(spans_)};
}

// ---- variables

Value& Evaluator::variable(Slot slot) {
  Activation* activation = activation_.get();
  for (int32_t i = 0; i < slot.hops; ++i) activation = activation->parent.get();
  return activation->variables[static_cast<size_t>(slot.index)];
}

Value Evaluator::context_variable(const std::string& name) {
  const auto known = context_.find(name);
  if (known != context_.end()) return known->second;
  Value value = Value::missing();
  if (const auto given = variables_.find(name); given != variables_.end()) {
    value = from_json(heap_, *given);
  } else if (std::optional<Value> function = find_function(heap_, name, now_)) {
    value = *std::move(function);
  }
  context_.emplace(name, value);
  return value;
}

void Evaluator::enter(const Scope& scope) {
  for (const Load& load : scope) {
    Value& slot = activation_->variables[static_cast<size_t>(load.index)];
    switch (load.kind) {
      case Load::Kind::given: break;
      case Load::Kind::context: slot = context_variable(load.name); break;
      case Load::Kind::outer: slot = variable(load.outer); break;
      case Load::Kind::nothing: slot = Value::missing(); break;
    }
  }
}

void Evaluator::leave(const Scope& scope) {
  for (const Load& load : scope)
    activation_->variables[static_cast<size_t>(load.index)] = Value::missing();
}

void Evaluator::assign(const Target& target, const Value& value) {
  switch (target.kind) {
    case Target::Kind::name: variable(target.slot) = value; return;
    case Target::Kind::attribute: {
      const Value holder = variable(target.slot);
      auto* space =
          holder.is(Type::host) ? dynamic_cast<Namespace*>(&holder.object<Host>()) : nullptr;
      if (space == nullptr) fault("cannot assign attribute on non-namespace object");
      space->set(heap_, target.attribute, value);
      return;
    }
    case Target::Kind::tuple: break;
  }
  if (!is_iterable(value)) fault("cannot unpack non-iterable ", type_name(value), " object");
  Iteration walk(heap_, value);
  std::vector<Value> parts;
  for (Value part; walk.next(part);) {
    if (parts.size() == target.items.size())
      fault("too many values to unpack (expected ", target.items.size(), ")");
    parts.push_back(part);
  }
  if (parts.size() < target.items.size()) {
    fault("not enough values to unpack (expected ", target.items.size(), ", got ", parts.size(),
          ")");
  }
  for (size_t i = 0; i < parts.size(); ++i) assign(target.items[i], parts[i]);
}

// ---- output

void Evaluator::write(std::string_view text) {
  heap_.step_bytes(text.size());
  heap_.check_bytes(target_->size() + text.size());
  *target_ += text;
}

template <class Action>
std::string Evaluator::captured(const Action& action) {
  std::string text;
  const Restored<std::string*> restored(target_, &text);
  action();
  return text;
}

// ---- statements

Evaluator::Flow Evaluator::run(const Body& body) {
  for (const auto& statement : body) {
    const Flow flow = run(*statement);
    if (flow != Flow::on) return flow;
  }
  return Flow::on;
}

Evaluator::Flow Evaluator::run(const Statement& statement) {
  const Nested nested(nesting_, kNestingShare * heap_.limits().depth, "expressions and statements");
  heap_.step();
  try {
    return std::visit([&](const auto& node) { return execute(node); }, statement.node);
  } catch (Fault& fault) {
    if (fault.line == 0)
      fault.line = statement.position.line, fault.column = statement.position.column;
    throw;
  }
}

Evaluator::Flow Evaluator::execute(const Data& node) {
  write(node.text);
  return Flow::on;
}

Evaluator::Flow Evaluator::execute(const Output& node) {
  const Value value = evaluate(node.value);
  if (value.is(Type::text)) {
    write(value.as_text());
  } else if (!value.is(Type::undefined)) {
    write(printed(heap_, value));
  }
  return Flow::on;
}

Evaluator::Flow Evaluator::execute(const If& node) {
  for (const auto& [test, body] : node.branches) {
    if (truth(heap_, evaluate(test))) return run(body);
  }
  return run(node.otherwise);
}

Evaluator::Flow Evaluator::execute(const Set& node) {
  assign(node.target, evaluate(node.value));
  return Flow::on;
}

/// What the filters of a block make of its text.
Value Evaluator::filtered(const ExpressionPtr& filter, const Value& text) {
  const Restored<const Value*> restored(block_text_, &text);
  return evaluate(filter);
}

Evaluator::Flow Evaluator::execute(const SetBlock& node) {
  enter(node.scope);
  Flow flow = Flow::on;
  const Value text = heap_.text(captured([&] { flow = run(node.body); }));
  if (flow == Flow::on) assign(node.target, node.filter ? filtered(node.filter, text) : text);
  leave(node.scope);
  return flow;
}

Evaluator::Flow Evaluator::execute(const FilterBlock& node) {
  enter(node.scope);
  Flow flow = Flow::on;
  const Value text = heap_.text(captured([&] { flow = run(node.body); }));
  if (flow == Flow::on) write(printed(heap_, filtered(node.filter, text)));
  leave(node.scope);
  return flow;
}

Evaluator::Flow Evaluator::execute(const With& node) {
  enter(node.scope);
  for (size_t i = 0; i < node.targets.size(); ++i)
    assign(node.targets[i], evaluate(node.values[i]));
  const Flow flow = run(node.body);
  leave(node.scope);
  return flow;
}

// ---- functions

Value Evaluator::macro_value(const Function& function) {
  return heap_.make<MacroValue>(Type::host, *this, function, activation_);
}

Evaluator::Flow Evaluator::execute(const Macro& node) {
  variable(node.target.slot) = macro_value(*node.function);
  return Flow::on;
}

Evaluator::Flow Evaluator::execute(const CallBlock& node) {
  const Value caller = macro_value(*node.function);
  write(printed(heap_, call(std::get<Call>(node.call->node), &caller)));
  return Flow::on;
}

Evaluator::Flow Evaluator::execute(const Generation& node) {
  Arguments none;
  const Value text = invoke(*node.function, activation_, none);
  // Counted from what stands in the output so far, as Transformers counts, even inside a macro
  // whose text comes later.
  const auto begin = static_cast<int64_t>(output_.size());
  spans_.push_back({begin, begin + static_cast<int64_t>(text.as_text().size())});
  write(text.as_text());
  return Flow::on;
}

Value Evaluator::invoke(const Function& function, const ActivationPtr& closure,
                        Arguments& arguments) {
  const Nested nested(calls_, heap_.limits().depth, "calls");
  const std::string name = function.name.empty() ? "None" : quote(function.name);
  const ActivationPtr activation = std::make_shared<Activation>(heap_, function.slots, closure);
  std::vector<Value>& variables = activation->variables;
  const auto slot = [&](int32_t index) -> Value& { return variables[static_cast<size_t>(index)]; };

  const size_t wanted = function.parameters.size();
  bool found_caller = false;
  for (size_t i = 0; i < wanted; ++i) {
    const Target& parameter = function.parameters[i];
    if (i < arguments.positional.size()) {
      slot(parameter.slot.index) = arguments.positional[i];
    } else {
      slot(parameter.slot.index) = take_named(arguments, parameter.name);
    }
    found_caller |= parameter.name == "caller";
  }
  if (function.caller >= 0 && !found_caller) {
    const Value caller = take_named(arguments, "caller");
    slot(function.caller) = caller.is(Type::missing) || caller.is(Type::none)
                                ? heap_.undefined("No caller defined")
                                : caller;
  }
  if (function.kwargs >= 0) {
    const std::shared_ptr<Dict> named = heap_.dict();
    for (const auto& [key, value] : arguments.named) named->set(heap_, heap_.text(key), value);
    slot(function.kwargs) = Heap::value_of(named);
  } else if (!arguments.named.empty()) {
    fault("macro ", name, " takes no keyword argument ", quote(arguments.named[0].first));
  }
  const size_t given = arguments.positional.size();
  if (function.varargs >= 0) {
    std::vector<Value> rest;
    if (given > wanted)
      rest.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(wanted),
                  arguments.positional.end());
    slot(function.varargs) = heap_.tuple(std::move(rest));
  } else if (given > wanted) {
    fault("macro ", name, " takes not more than ", wanted, " argument(s)");
  }

  const Restored<ActivationPtr> restored(activation_, activation);
  enter(function.scope);
  const size_t first_default = wanted - function.defaults.size();
  for (size_t i = 0; i < wanted; ++i) {
    const Target& parameter = function.parameters[i];
    if (!slot(parameter.slot.index).is(Type::missing)) continue;
    slot(parameter.slot.index) =
        i >= first_default
            ? evaluate(function.defaults[i - first_default])
            : heap_.undefined("parameter " + quote(parameter.name) + " was not provided");
  }
  return heap_.text(captured([&] { run(function.body); }));
}

// ---- loops

Evaluator::Flow Evaluator::execute(const For& node) {
  const Value iterable = evaluate(node.iterable);
  if (!node.recursive) return loop_over(node, iterable, 0, nullptr);
  write(recurse(node, activation_, iterable, 0).as_text());
  return Flow::on;
}

Value Evaluator::recurse(const For& loop, const ActivationPtr& closure, const Value& iterable,
                         int64_t depth) {
  const Nested nested(calls_, heap_.limits().depth, "calls");
  const Restored<ActivationPtr> restored(activation_,
                                         std::make_shared<Activation>(heap_, loop.slots, closure));
  return heap_.text(captured([&] { loop_over(loop, iterable, depth, closure); }));
}

Evaluator::Flow Evaluator::loop_over(const For& node, const Value& iterable, int64_t depth,
                                     const ActivationPtr& closure) {
  // The items that pass the test, one at a time: the body may change what the test looks at.
  Value source = iterable;
  if (node.test) {
    source = generator(heap_, iterable.depth(),
                       [this, &node, activation = activation_,
                        walk = Iteration(heap_, iterable)](Value& out) mutable {
                         const Restored<ActivationPtr> restored(
                             activation_, activation);  // `loop.last` may ask from within a macro
                         while (walk.next(out)) {
                           enter(node.test_scope);
                           assign(node.test_target, out);
                           const bool passes = truth(heap_, evaluate(node.test));
                           leave(node.test_scope);
                           if (passes) return true;
                         }
                         return false;
                       });
  }

  Flow flow = Flow::on;
  bool completed = false;  // some turn reached its end: what Jinja2's {% else %} asks
  const auto turn = [&](const Value& item) {
    heap_.loop_turn();
    assign(node.target, item);
    enter(node.scope);
    flow = run(node.body);
    completed |= flow == Flow::on;
  };
  if (node.loop < 0) {
    Iteration walk(heap_, source);
    for (Value item; flow != Flow::stop && walk.next(item);) turn(item);
  } else {
    const Value loop = heap_.make<LoopValue>(Type::host, *this, node, closure, source, depth);
    auto& state = loop.object<LoopValue>();
    for (Value item; flow != Flow::stop && state.advance(item);) {
      activation_->variables[static_cast<size_t>(node.loop)] = loop;
      turn(item);
    }
  }
  leave(node.scope);
  if (completed || node.otherwise.empty()) return Flow::on;
  enter(node.else_scope);
  flow = run(node.otherwise);
  leave(node.else_scope);
  return flow;
}

}  // namespace guerdon::text::jinja
