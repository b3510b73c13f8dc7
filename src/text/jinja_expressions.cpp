#include <charconv>
#include <cmath>

#include "text/jinja_parser.h"

namespace guerdon::text::jinja {

// ---- operators

ExpressionPtr Parser::expression() {
  const Level level(*this);
  const Position position = here().position;
  ExpressionPtr result = or_expression();
  for (int64_t links = 0; skip_name("if"); ++links) {
    if (links > depth_limit_) fail_depth();
    Conditional conditional;
    conditional.test = or_expression();
    conditional.then = std::move(result);
    if (skip_name("else")) conditional.otherwise = expression();
    result = make(position, std::move(conditional));
  }
  return result;
}

ExpressionPtr Parser::or_expression() {
  const Position position = here().position;
  ExpressionPtr first = and_expression();
  if (!is_name("or")) return first;
  Logic logic{false, {}};
  logic.operands.push_back(std::move(first));
  while (skip_name("or")) logic.operands.push_back(and_expression());
  return make(position, std::move(logic));
}

ExpressionPtr Parser::and_expression() {
  const Position position = here().position;
  ExpressionPtr first = not_expression();
  if (!is_name("and")) return first;
  Logic logic{true, {}};
  logic.operands.push_back(std::move(first));
  while (skip_name("and")) logic.operands.push_back(not_expression());
  return make(position, std::move(logic));
}

ExpressionPtr Parser::not_expression() {
  const Position position = here().position;
  if (!skip_name("not")) return comparison();
  const Level level(*this);
  return make(position, Unary{Unary::Kind::negate, not_expression()});
}

ExpressionPtr Parser::comparison() {
  static constexpr std::pair<std::string_view, Comparison> kSymbols[] = {
      {"==", Comparison::equal},  {"!=", Comparison::not_equal},
      {"<", Comparison::less},    {"<=", Comparison::less_equal},
      {">", Comparison::greater}, {">=", Comparison::greater_equal}};
  const Position position = here().position;
  Compare compare;
  compare.first = sum();
  const auto operation = [&]() -> std::optional<Comparison> {
    for (const auto& [symbol, comparison] : kSymbols) {
      if (skip_symbol(symbol)) return comparison;
    }
    if (skip_name("in")) return Comparison::in;
    if (is_name("not") && ahead().kind == Token::Kind::name && ahead().value == "in") {
      advance();
      advance();
      return Comparison::not_in;
    }
    return std::nullopt;
  };
  while (const std::optional<Comparison> next = operation())
    compare.rest.emplace_back(*next, sum());
  return compare.rest.empty() ? std::move(compare.first) : make(position, std::move(compare));
}

ExpressionPtr Parser::sum() {
  const Position position = here().position;
  Arithmetic result;
  result.first = concatenation();
  while (is_symbol("+") || is_symbol("-")) {
    const Operator op = advance().value == "+" ? Operator::add : Operator::subtract;
    result.rest.emplace_back(op, concatenation());
  }
  return result.rest.empty() ? std::move(result.first) : make(position, std::move(result));
}

ExpressionPtr Parser::concatenation() {
  const Position position = here().position;
  ExpressionPtr first = product();
  if (!is_symbol("~")) return first;
  Concat concat;
  concat.pieces.push_back(std::move(first));
  while (skip_symbol("~")) concat.pieces.push_back(product());
  return make(position, std::move(concat));
}

ExpressionPtr Parser::product() {
  static constexpr std::pair<std::string_view, Operator> kSymbols[] = {
      {"*", Operator::multiply},
      {"/", Operator::divide},
      {"//", Operator::floor_divide},
      {"%", Operator::modulo}};
  const Position position = here().position;
  Arithmetic result;
  result.first = power();
  const auto operation = [&]() -> std::optional<Operator> {
    for (const auto& [symbol, op] : kSymbols) {
      if (skip_symbol(symbol)) return op;
    }
    return std::nullopt;
  };
  while (const std::optional<Operator> op = operation()) result.rest.emplace_back(*op, power());
  return result.rest.empty() ? std::move(result.first) : make(position, std::move(result));
}

ExpressionPtr Parser::power() {
  const Position position = here().position;
  Arithmetic result;
  result.first = unary(Filters::yes);
  while (skip_symbol("**")) result.rest.emplace_back(Operator::power, unary(Filters::yes));
  return result.rest.empty() ? std::move(result.first) : make(position, std::move(result));
}

ExpressionPtr Parser::unary(Filters filters) {
  const Position position = here().position;
  ExpressionPtr result;
  if (is_symbol("-") || is_symbol("+")) {
    const Level level(*this);
    const auto kind = advance().value == "-" ? Unary::Kind::negative : Unary::Kind::positive;
    result = make(position, Unary{kind, unary(Filters::no)});
  } else {
    result = primary();
  }
  result = postfix(std::move(result));
  return filters == Filters::yes ? filters_and_tests(std::move(result)) : std::move(result);
}

// ---- what operators stand between

ExpressionPtr Parser::primary(NamespaceTargets targets) {
  const Token& token = here();
  const Position position = token.position;
  switch (token.kind) {
    case Token::Kind::name: {
      const std::string& word = advance().value;
      if (word == "true" || word == "True") return make(position, Literal{Value::boolean(true)});
      if (word == "false" || word == "False") return make(position, Literal{Value::boolean(false)});
      if (word == "none" || word == "None") return make(position, Literal{});
      ExpressionPtr name = make(position, Name{word, {}});
      if (targets == NamespaceTargets::no || !skip_symbol(".")) return name;
      return make(position, Attribute{std::move(name), expect(Token::Kind::name, "name").value});
    }
    case Token::Kind::text: {
      std::string text;
      while (is(Token::Kind::text)) text += advance().value;
      return make(position, Literal{Value::constant(std::move(text))});
    }
    case Token::Kind::integer: {
      const std::string& digits = advance().value;
      const char letter = digits.size() > 2 ? static_cast<char>(digits[1] | 0x20) : '0';
      const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
      const char* begin = digits.data() + (base == 10 ? 0 : 2);
      int64_t value = 0;
      if (std::from_chars(begin, digits.data() + digits.size(), value, base).ec != std::errc{}) {
        fail(position, "the integer " + digits + " does not fit into 64 bits");
      }
      return make(position, Literal{Value::integer(value)});
    }
    case Token::Kind::real: {
      const std::string& digits = advance().value;
      double value = 0;
      // Past the range of double from_chars leaves the value alone: it is infinite, or 0.
      if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec != std::errc{}) {
        value = digits.find("e-") == std::string::npos && digits.find("E-") == std::string::npos
                    ? HUGE_VAL
                    : 0;
      }
      return make(position, Literal{Value::real(value)});
    }
    default: break;
  }
  if (is_symbol("[")) return list_display();
  if (is_symbol("{")) return dict_display();
  if (!skip_symbol("(")) fail_unexpected("an expression");
  ExpressionPtr inner = tuple_of([&] { return expression(); }, /*may_be_empty=*/true);
  expect_symbol(")");
  return inner;
}

ExpressionPtr Parser::tuple_of(const std::function<ExpressionPtr()>& element, bool may_be_empty) {
  const Position position = here().position;
  ListDisplay tuple{true, {}};
  bool comma = false;
  while (!at_tuple_end()) {
    tuple.items.push_back(element());
    if (!is_symbol(",")) break;
    comma = true;
    advance();
  }
  if (!comma && tuple.items.size() == 1) return std::move(tuple.items[0]);
  if (!comma && !may_be_empty) fail_unexpected("an expression");
  return make(position, std::move(tuple));
}

bool Parser::at_tuple_end() const {
  return is(Token::Kind::variable_end) || is(Token::Kind::block_end) || is_symbol(")");
}

ExpressionPtr Parser::tuple(Inline inline_if) {
  return tuple_of([&] { return inline_if == Inline::yes ? expression() : or_expression(); },
                  /*may_be_empty=*/false);
}

ExpressionPtr Parser::list_display() {
  const Position position = here().position;
  expect_symbol("[");
  ListDisplay list{false, {}};
  while (!is_symbol("]")) {
    list.items.push_back(expression());
    if (!is_symbol("]")) expect_symbol(",");
  }
  expect_symbol("]");
  return make(position, std::move(list));
}

ExpressionPtr Parser::dict_display() {
  const Position position = here().position;
  expect_symbol("{");
  DictDisplay dict;
  while (!is_symbol("}")) {
    ExpressionPtr key = expression();
    expect_symbol(":");
    dict.entries.emplace_back(std::move(key), expression());
    if (!is_symbol("}")) expect_symbol(",");
  }
  expect_symbol("}");
  return make(position, std::move(dict));
}

// ---- what follows an operand

ExpressionPtr Parser::postfix(ExpressionPtr operand) {
  int64_t links = 0;
  for (;; ++links) {
    if (links > depth_limit_) fail_depth();
    const Position position = here().position;
    if (is_symbol(".") || is_symbol("[")) {
      operand = subscript(std::move(operand));
    } else if (is_symbol("(")) {
      operand = make(position, Call{std::move(operand), call_arguments()});
    } else {
      return operand;
    }
  }
}

ExpressionPtr Parser::subscript(ExpressionPtr operand) {
  const Position position = here().position;
  if (skip_symbol(".")) {
    if (is(Token::Kind::name))
      return make(position, Attribute{std::move(operand), advance().value});
    if (!is(Token::Kind::integer)) fail_unexpected("a name or number");
    return make(position, Item{std::move(operand), primary()});
  }
  expect_symbol("[");
  const auto part = [&]() -> ExpressionPtr {
    return is_symbol(":") || is_symbol("]") || is_symbol(",") ? nullptr : expression();
  };
  ExpressionPtr index = part();
  if (skip_symbol(":")) {
    Slice slice{std::move(operand), std::move(index), part(), nullptr};
    if (skip_symbol(":")) slice.step = part();
    expect_symbol("]");
    return make(position, std::move(slice));
  }
  if (index == nullptr && !is_symbol("]")) fail_unexpected("an index");
  if (index == nullptr || is_symbol(",")) {  // a[] and a[b, c] look up tuples
    ListDisplay tuple{true, {}};
    if (index != nullptr) tuple.items.push_back(std::move(index));
    while (skip_symbol(",")) tuple.items.push_back(expression());
    index = make(position, std::move(tuple));
  }
  expect_symbol("]");
  return make(position, Item{std::move(operand), std::move(index)});
}

ExpressionPtr Parser::filters_and_tests(ExpressionPtr operand) {
  int64_t links = 0;
  for (;; ++links) {
    if (links > depth_limit_) fail_depth();
    const Position position = here().position;
    if (is_symbol("|")) {
      advance();
      operand = filter(std::move(operand));
    } else if (is_name("is")) {
      operand = test(std::move(operand));
    } else if (is_symbol("(")) {
      operand = make(position, Call{std::move(operand), call_arguments()});
    } else {
      return operand;
    }
  }
}

ExpressionPtr Parser::filter(ExpressionPtr input) {
  const Position position = here().position;
  FilterCall call;
  call.input = std::move(input);
  call.name = expect(Token::Kind::name, "a filter's name").value;
  while (skip_symbol(".")) call.name += "." + expect(Token::Kind::name, "name").value;
  call.function = find_filter(call.name);
  if (is_symbol("(")) call.arguments = call_arguments();
  return make(position, std::move(call));
}

/// The filters of {% filter a|b %} and {% set x | a | b %}, whose first "|" has been read.
ExpressionPtr Parser::filter_chain(ExpressionPtr input) {
  ExpressionPtr result = filter(std::move(input));
  int64_t links = 0;
  while (skip_symbol("|")) {
    if (++links > depth_limit_) fail_depth();
    result = filter(std::move(result));
  }
  return result;
}

ExpressionPtr Parser::test(ExpressionPtr input) {
  const Position position = here().position;
  expect_name("is");
  const bool negated = skip_name("not");
  TestCall call;
  call.input = std::move(input);
  call.name = expect(Token::Kind::name, "a test's name").value;
  while (skip_symbol(".")) call.name += "." + expect(Token::Kind::name, "name").value;
  call.function = find_test(call.name);
  const bool operand_follows = is(Token::Kind::name) || is(Token::Kind::text) ||
                               is(Token::Kind::integer) || is(Token::Kind::real) ||
                               is_symbol("[") || is_symbol("{");
  if (is_symbol("(")) {
    call.arguments = call_arguments();
  } else if (operand_follows && !is_name("else") && !is_name("or") && !is_name("and")) {
    if (is_name("is")) fail(here().position, "You cannot chain multiple tests with is");
    call.arguments.positional.push_back(postfix(primary()));
  }
  ExpressionPtr result = make(position, std::move(call));
  return negated ? make(position, Unary{Unary::Kind::negate, std::move(result)})
                 : std::move(result);
}

CallArguments Parser::call_arguments() {
  const Position position = here().position;
  const Level level(*this);
  expect_symbol("(");
  CallArguments result;
  const auto ensure = [&](bool condition) {
    if (!condition) fail(position, "invalid syntax for function call expression");
  };
  while (!is_symbol(")")) {
    if (skip_symbol("*")) {
      ensure(!result.more_positional && !result.more_named);
      result.more_positional = expression();
    } else if (skip_symbol("**")) {
      ensure(!result.more_named);
      result.more_named = expression();
    } else if (is(Token::Kind::name) && ahead().kind == Token::Kind::symbol &&
               ahead().value == "=") {
      ensure(!result.more_named);
      std::string name = advance().value;
      advance();
      for (const auto& [other, value] : result.named) {
        if (other == name) fail(position, "keyword argument repeated: " + name);
      }
      result.named.emplace_back(std::move(name), expression());
    } else {
      ensure(!result.more_positional && !result.more_named && result.named.empty());
      result.positional.push_back(expression());
    }
    if (!is_symbol(")")) expect_symbol(",");
  }
  expect_symbol(")");
  return result;
}

}  // namespace guerdon::text::jinja
