#include "text/jinja_access.h"
#include "text/jinja_evaluator.h"
#include "text/jinja_methods.h"
#include "text/jinja_nesting.h"
#include "text/jinja_print.h"

namespace guerdon::text::jinja {

Value Evaluator::evaluate(const Expression& expression) {
  const Nested nested(nesting_, kNestingShare * heap_.limits().depth, "expressions and statements");
  heap_.step();
  try {
    return std::visit([&](const auto& node) { return value_of(node); }, expression.node);
  } catch (Fault& fault) {
    if (fault.line == 0)
      fault.line = expression.position.line, fault.column = expression.position.column;
    throw;
  }
}

Value Evaluator::value_of(const Name& node) {
  const Value& value = variable(node.slot);
  return value.is(Type::missing) ? heap_.undefined(quote(node.name) + " is undefined") : value;
}

Value Evaluator::value_of(const Attribute& node) {
  return attribute(heap_, evaluate(node.object), node.name);
}

Value Evaluator::value_of(const Item& node) {
  const Value object = evaluate(node.object);
  return item(heap_, object, evaluate(node.index));
}

Value Evaluator::value_of(const Slice& node) {
  const Value object = evaluate(node.object);
  const auto part = [&](const ExpressionPtr& expression) {
    return expression ? evaluate(expression) : Value();
  };
  const Value start = part(node.start), stop = part(node.stop), step = part(node.step);
  return slice(heap_, object, start, stop, step);
}

// ---- calls

Arguments Evaluator::arguments_of(const CallArguments& node) {
  Arguments arguments;
  arguments.positional.reserve(node.positional.size());
  for (const ExpressionPtr& argument : node.positional)
    arguments.positional.push_back(evaluate(argument));
  for (const auto& [name, argument] : node.named)
    arguments.named.emplace_back(name, evaluate(argument));
  if (node.more_positional) {
    for (Value& value : to_vector(heap_, evaluate(node.more_positional)))
      arguments.positional.push_back(std::move(value));
  }
  if (node.more_named) {
    const Value more = evaluate(node.more_named);
    if (!more.is(Type::dict)) fault("argument after ** must be a mapping, not ", type_name(more));
    for (const auto& [key, value] : more.dict().entries()) {
      if (!key.is(Type::text)) fault("keywords must be strings");
      for (const auto& named : arguments.named) {
        if (named.first == key.as_text())
          fault("got multiple values for keyword argument ", quote(key.as_text()));
      }
      arguments.named.emplace_back(key.as_text(), value);
    }
  }
  return arguments;
}

Value Evaluator::call(const Call& node, const Value* caller) {
  const auto arguments_with_caller = [&] {
    Arguments arguments = arguments_of(node.arguments);
    if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
    return arguments;
  };
  Value callee;
  if (const auto* method = std::get_if<jinja::Attribute>(&node.callee->node)) {
    // A method of a text, list or dict is called without making a value of it first.
    const Value object = evaluate(method->object);
    if (const MethodFunction function = find_method(object, method->name)) {
      return function(heap_, object, arguments_with_caller());
    }
    callee = attribute(heap_, object, method->name);
  } else {
    callee = evaluate(node.callee);
  }
  if (callee.is(Type::undefined)) fault(callee.undefined_reason());
  if (!callee.is(Type::host)) fault("'", type_name(callee), "' object is not callable");
  Arguments arguments = arguments_with_caller();
  return callee.object<Host>().call(heap_, arguments);
}

Value Evaluator::value_of(const FilterCall& node) {
  const Value input = node.input ? evaluate(node.input) : *block_text_;
  if (node.function == nullptr) fault("No filter named ", quote(node.name), " found.");
  return node.function(heap_, input, arguments_of(node.arguments));
}

Value Evaluator::value_of(const TestCall& node) {
  const Value input = evaluate(node.input);
  if (node.function == nullptr) fault("No test named ", quote(node.name), " found.");
  return Value::boolean(node.function(heap_, input, arguments_of(node.arguments)));
}

// ---- operators

Value Evaluator::value_of(const Unary& node) {
  const Value operand = evaluate(node.operand);
  switch (node.kind) {
    case Unary::Kind::negate: return Value::boolean(!truth(heap_, operand));
    case Unary::Kind::negative: return negative(heap_, operand);
    case Unary::Kind::positive: return positive(heap_, operand);
  }
  return {};
}

Value Evaluator::value_of(const Arithmetic& node) {
  Value result = evaluate(node.first);
  for (const auto& [op, operand] : node.rest)
    result = arithmetic(heap_, op, result, evaluate(operand));
  return result;
}

Value Evaluator::value_of(const Compare& node) {
  Value left = evaluate(node.first);
  for (const auto& [comparison, operand] : node.rest) {
    Value right = evaluate(operand);
    if (!compare(heap_, comparison, left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Evaluator::value_of(const Logic& node) {
  Value result;
  for (const ExpressionPtr& operand : node.operands) {
    result = evaluate(operand);
    if (truth(heap_, result) != node.all) return result;
  }
  return result;
}

Value Evaluator::value_of(const Concat& node) {
  std::string text;
  for (const ExpressionPtr& piece : node.pieces) print(heap_, text, evaluate(piece));
  return heap_.text(std::move(text));
}

Value Evaluator::value_of(const Conditional& node) {
  if (truth(heap_, evaluate(node.test))) return evaluate(node.then);
  if (node.otherwise) return evaluate(node.otherwise);
  return heap_.undefined(
      "the inline if-expression evaluated to false and no else section was defined.");
}

Value Evaluator::value_of(const ListDisplay& node) {
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const ExpressionPtr& item : node.items) items.push_back(evaluate(item));
  return node.tuple ? heap_.tuple(std::move(items)) : heap_.list(std::move(items));
}

Value Evaluator::value_of(const DictDisplay& node) {
  const std::shared_ptr<Dict> dict = heap_.dict();
  for (const auto& [key, value] : node.entries) {
    const Value evaluated = evaluate(key);
    dict->set(heap_, evaluated, evaluate(value));
  }
  return Heap::value_of(dict);
}

}  // namespace guerdon::text::jinja
