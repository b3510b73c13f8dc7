#include "text/jinja_names.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "guerdon/base/error.h"

namespace guerdon::text::jinja {
namespace {

template <class... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

// ---- walking

template <class Visit>
void each_argument(CallArguments& arguments, const Visit& visit) {
  for (ExpressionPtr& argument : arguments.positional) visit(*argument);
  for (auto& [name, argument] : arguments.named) visit(*argument);
  if (arguments.more_positional) visit(*arguments.more_positional);
  if (arguments.more_named) visit(*arguments.more_named);
}

/// Calls `visit` on the expressions right inside one.
template <class Visit>
void each_part(Expression& expression, const Visit& visit) {
  const auto maybe = [&](ExpressionPtr& part) {
    if (part) visit(*part);
  };
  std::visit(
      Overloaded{
          [](Literal&) {}, [](Name&) {}, [&](Attribute& node) { visit(*node.object); },
          [&](Item& node) { visit(*node.object), visit(*node.index); },
          [&](Slice& node) {
            visit(*node.object), maybe(node.start), maybe(node.stop), maybe(node.step);
          },
          [&](Call& node) { visit(*node.callee), each_argument(node.arguments, visit); },
          [&](FilterCall& node) { maybe(node.input), each_argument(node.arguments, visit); },
          [&](TestCall& node) { visit(*node.input), each_argument(node.arguments, visit); },
          [&](Unary& node) { visit(*node.operand); },
          [&](Arithmetic& node) {
            visit(*node.first);
            for (auto& [op, operand] : node.rest) visit(*operand);
          },
          [&](Compare& node) {
            visit(*node.first);
            for (auto& [comparison, operand] : node.rest) visit(*operand);
          },
          [&](Logic& node) {
            for (ExpressionPtr& operand : node.operands) visit(*operand);
          },
          [&](Concat& node) {
            for (ExpressionPtr& piece : node.pieces) visit(*piece);
          },
          [&](Conditional& node) { visit(*node.test), visit(*node.then), maybe(node.otherwise); },
          [&](ListDisplay& node) {
            for (ExpressionPtr& item : node.items) visit(*item);
          },
          [&](DictDisplay& node) {
            for (auto& [key, value] : node.entries) visit(*key), visit(*value);
          }},
      expression.node);
}

template <class Visit>
void each_name(const Target& target, const Visit& visit) {
  if (target.kind == Target::Kind::name) visit(target.name);
  for (const Target& item : target.items) each_name(item, visit);
}

/// Which of some names a body asks for, inner functions included, before it stores something under
/// them.
class Asked {
 public:
  static constexpr size_t kMost = 3;
  Asked(std::initializer_list<std::string_view> names, Body& body) {
    std::copy(names.begin(), names.end(), names_.begin());
    visit(body);
  }
  bool operator[](size_t i) const { return asked_[i]; }

 private:
  void visit(Expression& expression) {
    if (const auto* name = std::get_if<Name>(&expression.node)) {
      for (size_t i = 0; i < kMost; ++i) asked_[i] |= !stored_[i] && name->name == names_[i];
    }
    each_part(expression, [&](Expression& part) { visit(part); });
  }
  void visit(const ExpressionPtr& expression) {
    if (expression) visit(*expression);
  }
  void visit(const Target& target) {
    each_name(target, [&](const std::string& name) {
      for (size_t i = 0; i < kMost; ++i) stored_[i] |= name == names_[i];
    });
  }
  void visit(Body& body) {
    for (const auto& statement : body) visit(*statement);
  }
  void visit(Function& function) {
    for (const Target& parameter : function.parameters) visit(parameter);
    for (const ExpressionPtr& value : function.defaults) visit(value);
    visit(function.body);
  }
  void visit(Statement& statement) {
    std::visit(
        Overloaded{
            [](Data&) {}, [](Break&) {}, [](Continue&) {}, [&](Output& node) { visit(node.value); },
            [&](If& node) {
              for (auto& [test, body] : node.branches) visit(test), visit(body);
              visit(node.otherwise);
            },
            [&](For& node) {
              visit(node.target), visit(node.iterable), visit(node.body), visit(node.otherwise);
              visit(node.test);
            },
            [&](Set& node) { visit(node.target), visit(node.value); },
            [&](SetBlock& node) { visit(node.target), visit(node.filter), visit(node.body); },
            [&](Macro& node) { visit(*node.function); },
            [&](CallBlock& node) { visit(node.call), visit(*node.function); },
            [&](Generation& node) { visit(*node.function); },
            [&](FilterBlock& node) { visit(node.body), visit(node.filter); },
            [&](With& node) {
              for (const Target& target : node.targets) visit(target);
              for (const ExpressionPtr& value : node.values) visit(value);
              visit(node.body);
            }},
        statement.node);
  }

  std::array<std::string_view, kMost> names_;
  std::array<bool, kMost> asked_{}, stored_{};
};

// ---- resolving

/// The variables that one scope knows.
struct Frame {
  const Frame* parent;
  int32_t* slots;          ///< how many the function at hand has
  int32_t function_depth;  ///< functions around it
  Scope loads;
  std::unordered_map<std::string, int32_t> known;  ///< name to slot

  int32_t define(const std::string& name, Load::Kind kind, Slot outer = {}) {
    const int32_t index = (*slots)++;
    known.emplace(name, index);
    loads.push_back({kind, index, outer, name});
    return index;
  }
};

class Resolver {
 public:
  explicit Resolver(const std::string& name) : name_(name) {}

  void run(Function& root) {
    Frame frame{nullptr, &root.slots, 0, {}, {}};
    collect(frame, root.body);
    root.scope = frame.loads;
    resolve(frame, root.body);
  }

 private:
  // ---- first pass over a scope: which names it loads and stores, without looking into inner
  // scopes

  static std::optional<Slot> find(const Frame* frame, const std::string& name,
                                  int32_t function_depth) {
    for (; frame != nullptr; frame = frame->parent) {
      const auto found = frame->known.find(name);
      if (found != frame->known.end())
        return Slot{function_depth - frame->function_depth, found->second};
    }
    return std::nullopt;
  }

  void load(Frame& frame, const std::string& name) {
    if (!find(&frame, name, frame.function_depth)) frame.define(name, Load::Kind::context);
  }

  /// A variable that is stored on some paths only begins as the caller's.
  void store(Frame& frame, const std::string& name) const {
    if (frame.known.contains(name)) return;
    if (const std::optional<Slot> outer = find(frame.parent, name, frame.function_depth)) {
      frame.define(name, Load::Kind::outer, *outer);
    } else {
      frame.define(name, branches_ > 0 ? Load::Kind::context : Load::Kind::nothing);
    }
  }

  void collect(Frame& frame, Expression& expression) {
    if (const auto* name = std::get_if<Name>(&expression.node)) load(frame, name->name);
    each_part(expression, [&](Expression& part) { collect(frame, part); });
  }
  void collect(Frame& frame, const ExpressionPtr& expression) {
    if (expression) collect(frame, *expression);
  }
  void collect(Frame& frame, const Target& target) {
    if (target.kind == Target::Kind::name) store(frame, target.name);
    if (target.kind == Target::Kind::attribute) load(frame, target.name);
    for (const Target& item : target.items) collect(frame, item);
  }
  void collect(Frame& frame, const Body& body) {
    for (const auto& statement : body) collect(frame, *statement);
  }
  void collect(Frame& frame, Statement& statement) {
    std::visit(
        Overloaded{[](Data&) {}, [](Break&) {}, [](Continue&) {}, [](Generation&) {},
                   [&](Output& node) { collect(frame, node.value); },
                   [&](If& node) {
                     collect(frame, node.branches[0].first);
                     ++branches_;
                     for (auto& [test, body] : node.branches)
                       collect(frame, test), collect(frame, body);
                     collect(frame, node.otherwise);
                     --branches_;
                   },
                   [&](For& node) { collect(frame, node.iterable); },
                   [&](Set& node) { collect(frame, node.value), collect(frame, node.target); },
                   [&](SetBlock& node) { collect(frame, node.target); },
                   [&](Macro& node) { store(frame, node.function->name); },
                   [&](CallBlock& node) { collect(frame, node.call); },
                   [&](FilterBlock& node) { collect(frame, node.filter); },
                   [&](With& node) {
                     for (const ExpressionPtr& value : node.values) collect(frame, value);
                   }},
        statement.node);
  }

  // ---- second pass: slots for the names, and the inner scopes

  [[noreturn]] void fail(Position position, const std::string& what) const {
    fail_input(place_of(name_, position), what);
  }

  Slot slot(const Frame& frame, const std::string& name) const {
    const std::optional<Slot> found = find(&frame, name, frame.function_depth);
    GUERDON_CHECK(found.has_value(), "the variable ", name, " is in no scope");
    return *found;
  }

  /// Runs `action` in an inner scope, where filters are checked again, and gives the scope's loads.
  template <class Action>
  Scope inside(Frame inner, const Action& action) {
    const int branches = std::exchange(branches_, 0);
    const int soft = std::exchange(soft_, 0);
    action(inner);
    branches_ = branches;
    soft_ = soft;
    return std::move(inner.loads);
  }

  void resolve(const Frame& frame, Expression& expression) {
    if (auto* name = std::get_if<Name>(&expression.node)) name->slot = slot(frame, name->name);
    if (const auto* call = std::get_if<FilterCall>(&expression.node)) {
      if (call->function == nullptr && soft_ == 0) {
        fail(expression.position,
             "no filter named " + show(call->name) + did_you_mean(call->name, filter_names()));
      }
    }
    if (const auto* call = std::get_if<TestCall>(&expression.node)) {
      if (call->function == nullptr && soft_ == 0) {
        fail(expression.position,
             "no test named " + show(call->name) + did_you_mean(call->name, test_names()));
      }
    }
    // As in Jinja2, a filter that is not there is an error of its own only where a condition does
    // not guard it.
    const int soft = std::holds_alternative<Conditional>(expression.node);
    soft_ += soft;
    each_part(expression, [&](Expression& part) { resolve(frame, part); });
    soft_ -= soft;
  }
  void resolve(const Frame& frame, const ExpressionPtr& expression) {
    if (expression) resolve(frame, *expression);
  }
  void resolve(const Frame& frame, Target& target) {
    if (target.kind == Target::Kind::name && target.name == "loop" && loops_around_ > 0) {
      fail(target.position, "the variable 'loop' of a loop cannot be assigned to");
    }
    if (target.kind != Target::Kind::tuple) target.slot = slot(frame, target.name);
    for (Target& item : target.items) resolve(frame, item);
  }
  void resolve(const Frame& frame, Body& body) {
    for (const auto& statement : body) resolve(frame, *statement);
  }

  void declare(Frame& frame, const Target& target) {
    each_name(target, [&](const std::string& name) {
      if (!frame.known.contains(name)) frame.define(name, Load::Kind::given);
    });
  }

  void resolve(const Frame& frame, Function& function, Position position) {
    const int breakable = std::exchange(breakable_, 0);
    function.scope =
        inside({&frame, &function.slots, frame.function_depth + 1, {}, {}}, [&](Frame& scope) {
          for (const Target& parameter : function.parameters) declare(scope, parameter);
          const Asked asked({"caller", "kwargs", "varargs"}, function.body);
          if (asked[0]) check_caller(function, position);
          const auto special = [&](bool wanted, const char* name) {
            return wanted && !scope.known.contains(name) ? scope.define(name, Load::Kind::given)
                                                         : -1;
          };
          function.caller = special(asked[0], "caller");
          function.kwargs = special(asked[1], "kwargs");
          function.varargs = special(asked[2], "varargs");
          for (const ExpressionPtr& value : function.defaults) collect(scope, value);
          collect(scope, function.body);
          for (Target& parameter : function.parameters)
            parameter.slot = slot(scope, parameter.name);
          for (const ExpressionPtr& value : function.defaults) resolve(scope, value);
          resolve(scope, function.body);
        });
    breakable_ = breakable;
  }

  void check_caller(const Function& function, Position position) const {
    const size_t without_default = function.parameters.size() - function.defaults.size();
    for (size_t i = 0; i < without_default; ++i) {
      if (function.parameters[i].name == "caller") {
        fail(position, "the special argument \"caller\" must be omitted or be given a default");
      }
    }
  }

  void resolve(const Frame& frame, For& loop) {
    resolve(frame, loop.iterable);
    ++loops_around_;
    // A recursive loop is a function that calls itself.
    int32_t* const slots = loop.recursive ? &loop.slots : frame.slots;
    const int32_t depth = frame.function_depth + (loop.recursive ? 1 : 0);
    if (loop.test) {
      loop.test_target = loop.target;
      loop.test_scope = inside({&frame, slots, depth, {}, {}}, [&](Frame& scope) {
        declare(scope, loop.test_target);
        collect(scope, loop.test);
        resolve(scope, loop.test_target);
        resolve(scope, loop.test);
      });
    }
    loop.scope = inside({&frame, slots, depth, {}, {}}, [&](Frame& scope) {
      if (Asked({"loop"}, loop.body)[0]) loop.loop = scope.define("loop", Load::Kind::given);
      declare(scope, loop.target);
      collect(scope, loop.body);
      resolve(scope, loop.target);
      ++breakable_;
      resolve(scope, loop.body);
      --breakable_;
    });
    loop.else_scope = inside({&frame, slots, depth, {}, {}}, [&](Frame& scope) {
      collect(scope, loop.otherwise);
      resolve(scope, loop.otherwise);
    });
    --loops_around_;
  }

  void check_breakable(Position position, const char* what) const {
    if (breakable_ == 0) fail(position, str("'", what, "' outside a loop"));
  }

  void resolve(const Frame& frame, Statement& statement) {
    const Position position = statement.position;
    std::visit(
        Overloaded{[](Data&) {}, [&](Break&) { check_breakable(position, "break"); },
                   [&](Continue&) { check_breakable(position, "continue"); },
                   [&](Output& node) { resolve(frame, node.value); },
                   [&](If& node) {
                     ++soft_;
                     for (auto& [test, body] : node.branches)
                       resolve(frame, test), resolve(frame, body);
                     resolve(frame, node.otherwise);
                     --soft_;
                   },
                   [&](For& node) { resolve(frame, node); },
                   [&](Set& node) { resolve(frame, node.value), resolve(frame, node.target); },
                   [&](SetBlock& node) {
                     resolve(frame, node.target);
                     node.scope = inside({&frame, frame.slots, frame.function_depth, {}, {}},
                                         [&](Frame& scope) {
                                           collect(scope, node.body), collect(scope, node.filter);
                                           resolve(scope, node.body), resolve(scope, node.filter);
                                         });
                   },
                   [&](Macro& node) {
                     resolve(frame, *node.function, position);
                     node.target.slot = slot(frame, node.function->name);
                   },
                   [&](CallBlock& node) {
                     resolve(frame, node.call), resolve(frame, *node.function, position);
                   },
                   [&](Generation& node) { resolve(frame, *node.function, position); },
                   [&](FilterBlock& node) {
                     node.scope = inside({&frame, frame.slots, frame.function_depth, {}, {}},
                                         [&](Frame& scope) {
                                           collect(scope, node.body), collect(scope, node.filter);
                                           resolve(scope, node.body), resolve(scope, node.filter);
                                         });
                   },
                   [&](With& node) {
                     for (const ExpressionPtr& value : node.values) resolve(frame, value);
                     node.scope = inside({&frame, frame.slots, frame.function_depth, {}, {}},
                                         [&](Frame& scope) {
                                           for (Target& target : node.targets)
                                             declare(scope, target);
                                           collect(scope, node.body);
                                           for (Target& target : node.targets)
                                             resolve(scope, target);
                                           resolve(scope, node.body);
                                         });
                   }},
        statement.node);
  }

  const std::string& name_;
  int branches_ = 0;      ///< conditions around what is being collected, inside the scope
  int soft_ = 0;          ///< conditions around what is being resolved, inside the scope
  int breakable_ = 0;     ///< loops around, inside the function
  int loops_around_ = 0;  ///< loops around, whatever lies between
};

}  // namespace

void resolve_names(Tree& tree, const std::string& name) { Resolver(name).run(tree.root); }

}  // namespace guerdon::text::jinja
