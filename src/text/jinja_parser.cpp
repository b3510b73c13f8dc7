#include "text/jinja_parser.h"

#include <algorithm>

namespace guerdon::text::jinja {
namespace {

constexpr size_t kLongestTemplate = size_t{4} << 20;  // bytes

std::string shown(const Token& token) {
  switch (token.kind) {
    case Token::Kind::end: return "end of template";
    case Token::Kind::data: return "text";
    case Token::Kind::text: return "the string " + show(token.value);
    default: return "'" + token.value + "'";
  }
}

}  // namespace

Tree parse(std::string_view source, const std::string& name, int64_t depth) {
  return Parser(source, name, depth).run();
}

Parser::Parser(std::string_view source, const std::string& name, int64_t depth)
    : name_(name), depth_limit_(depth) {
  if (source.size() > kLongestTemplate) {
    fail_input(name,
               str("the template has ", source.size(), " bytes (at most ", kLongestTemplate, ")"));
  }
  tokens_ = tokenize(source, name);
}

Tree Parser::run() {
  Tree tree;
  tree.root.body = statements({});
  tree.has_generation = has_generation_;
  return tree;
}

// ---- tokens

void Parser::fail(Position position, const std::string& what) const {
  fail_input(place_of(name_, position), what);
}

void Parser::fail_depth() const {
  fail(here().position,
       str("brackets, operators and blocks are nested deeper than ", depth_limit_));
}

void Parser::fail_unexpected(const char* wanted) const {
  fail(here().position, "unexpected " + shown(here()) + ", expected " + wanted);
}

bool Parser::skip_symbol(std::string_view symbol) {
  const bool there = is_symbol(symbol);
  if (there) advance();
  return there;
}

bool Parser::skip_name(std::string_view name) {
  const bool there = is_name(name);
  if (there) advance();
  return there;
}

void Parser::expect_symbol(std::string_view symbol) {
  if (!skip_symbol(symbol)) fail_unexpected(("'" + std::string(symbol) + "'").c_str());
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) fail_unexpected(("'" + std::string(name) + "'").c_str());
}

const Token& Parser::expect(Token::Kind kind, const char* what) {
  if (!is(kind)) fail_unexpected(what);
  return advance();
}

// ---- blocks

/// Statements up to a tag that begins with one of `ends`, whose name is not read yet; up to the end
/// of the template when there are none.
Body Parser::statements(std::initializer_list<std::string_view> ends) {
  const Level level(*this);
  Body body;
  while (!is(Token::Kind::end)) {
    const Position position = here().position;
    if (is(Token::Kind::data)) {
      body.push_back(make_statement(position, Data{advance().value}));
    } else if (is(Token::Kind::variable_begin)) {
      advance();
      ExpressionPtr value = tuple();
      expect(Token::Kind::variable_end, "'}}'");
      body.push_back(make_statement(position, Output{std::move(value)}));
    } else {
      expect(Token::Kind::block_begin, "'{%'");
      if (is(Token::Kind::name) && std::find(ends.begin(), ends.end(), here().value) != ends.end())
        return body;
      if (is_name("print")) {
        print_statement(body);
      } else {
        body.push_back(statement());
      }
      expect(Token::Kind::block_end, "'%}'");
    }
  }
  if (ends.size() > 0) {
    fail(open_tags_.back().second, "the block '" + open_tags_.back().first +
                                       "' is never closed: {% " + std::string(*(ends.end() - 1)) +
                                       " %} is missing");
  }
  return body;
}

/// The same after the end of the opening tag, with a colon if the author likes one.
Body Parser::block(std::initializer_list<std::string_view> ends) {
  skip_symbol(":");
  expect(Token::Kind::block_end, "'%}'");
  return statements(ends);
}

std::unique_ptr<Statement> Parser::statement() {
  const Token& tag = here();
  if (tag.kind != Token::Kind::name) fail_unexpected("a tag's name");
  using Reader = std::unique_ptr<Statement> (Parser::*)();
  static constexpr std::pair<std::string_view, Reader> kReaders[] = {
      {"if", &Parser::if_statement},         {"for", &Parser::for_statement},
      {"set", &Parser::set_statement},       {"macro", &Parser::macro_statement},
      {"call", &Parser::call_statement},     {"generation", &Parser::generation_statement},
      {"filter", &Parser::filter_statement}, {"with", &Parser::with_statement}};
  for (const auto& [name, reader] : kReaders) {
    if (tag.value != name) continue;
    open_tags_.emplace_back(tag.value, tag.position);
    std::unique_ptr<Statement> result = (this->*reader)();
    open_tags_.pop_back();
    return result;
  }
  if (tag.value == "break" || tag.value == "continue") {
    advance();
    return tag.value == "break" ? make_statement(tag.position, Break{})
                                : make_statement(tag.position, Continue{});
  }
  static constexpr std::string_view kAlone[] = {"extends", "include", "import",
                                                "from",    "block",   "autoescape"};
  if (std::find(std::begin(kAlone), std::end(kAlone), tag.value) != std::end(kAlone)) {
    fail(tag.position,
         "the tag '" + tag.value + "' is not available: a chat template stands alone");
  }
  std::string what = "unknown tag '" + tag.value + "'";
  if (!open_tags_.empty())
    what += "; the innermost block that is open is '" + open_tags_.back().first + "'";
  fail(tag.position, what);
}

std::unique_ptr<Statement> Parser::if_statement() {
  const Position position = advance().position;
  If result;
  for (;;) {
    ExpressionPtr test = tuple(Inline::no);
    result.branches.emplace_back(std::move(test), block({"elif", "else", "endif"}));
    if (!skip_name("elif")) break;
  }
  if (skip_name("else")) result.otherwise = block({"endif"});
  expect_name("endif");
  return make_statement(position, std::move(result));
}

std::unique_ptr<Statement> Parser::for_statement() {
  const Position position = advance().position;
  For result;
  result.target = target(NamespaceTargets::no);
  expect_name("in");
  result.iterable = tuple(Inline::no);
  if (skip_name("if")) result.test = expression();
  result.recursive = skip_name("recursive");
  result.body = block({"else", "endfor"});
  if (skip_name("else")) result.otherwise = block({"endfor"});
  expect_name("endfor");
  return make_statement(position, std::move(result));
}

std::unique_ptr<Statement> Parser::set_statement() {
  const Position position = advance().position;
  Target left = target(NamespaceTargets::yes);
  if (skip_symbol("=")) return make_statement(position, Set{std::move(left), tuple()});
  SetBlock result;
  result.target = std::move(left);
  if (skip_symbol("|")) result.filter = filter_chain(nullptr);
  result.body = block({"endset"});
  expect_name("endset");
  return make_statement(position, std::move(result));
}

std::unique_ptr<Statement> Parser::with_statement() {
  const Position position = advance().position;
  With result;
  while (!is(Token::Kind::block_end)) {
    if (!result.targets.empty()) expect_symbol(",");
    result.targets.push_back(target(NamespaceTargets::no));
    expect_symbol("=");
    result.values.push_back(expression());
  }
  result.body = block({"endwith"});
  expect_name("endwith");
  return make_statement(position, std::move(result));
}

/// {% print a, b %}: as {{ a }}{{ b }}.
void Parser::print_statement(Body& body) {
  advance();
  for (bool first = true; !is(Token::Kind::block_end); first = false) {
    if (!first) expect_symbol(",");
    const Position position = here().position;
    body.push_back(make_statement(position, Output{expression()}));
  }
}

// ---- functions

void Parser::signature(Function& function) {
  expect_symbol("(");
  while (!is_symbol(")")) {
    if (!function.parameters.empty()) expect_symbol(",");
    function.parameters.push_back(name_target());
    if (skip_symbol("=")) {
      function.defaults.push_back(expression());
    } else if (!function.defaults.empty()) {
      fail(here().position, "non-default argument follows default argument");
    }
  }
  expect_symbol(")");
  for (size_t i = 0; i < function.parameters.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (function.parameters[i].name == function.parameters[j].name) {
        fail(function.parameters[i].position,
             "the parameter '" + function.parameters[i].name + "' is there twice");
      }
    }
  }
}

std::unique_ptr<Statement> Parser::macro_statement() {
  const Position position = advance().position;
  Macro result{name_target(), std::make_unique<Function>()};
  result.function->name = result.target.name;
  signature(*result.function);
  result.function->body = block({"endmacro"});
  expect_name("endmacro");
  return make_statement(position, std::move(result));
}

std::unique_ptr<Statement> Parser::call_statement() {
  const Position position = advance().position;
  CallBlock result{nullptr, std::make_unique<Function>()};
  if (is_symbol("(")) signature(*result.function);
  result.call = expression();
  if (!std::holds_alternative<Call>(result.call->node)) fail(position, "expected a call");
  result.function->body = block({"endcall"});
  expect_name("endcall");
  return make_statement(position, std::move(result));
}

std::unique_ptr<Statement> Parser::generation_statement() {
  const Position position = advance().position;
  has_generation_ = true;
  Generation result{std::make_unique<Function>()};
  result.function->body = block({"endgeneration"});
  expect_name("endgeneration");
  return make_statement(position, std::move(result));
}

std::unique_ptr<Statement> Parser::filter_statement() {
  const Position position = advance().position;
  FilterBlock result;
  result.filter = filter_chain(nullptr);
  result.body = block({"endfilter"});
  expect_name("endfilter");
  return make_statement(position, std::move(result));
}

// ---- targets

Target Parser::target(NamespaceTargets targets) {
  const ExpressionPtr expression =
      tuple_of([&] { return primary(targets); }, /*may_be_empty=*/false);
  return as_target(*expression, targets);
}

Target Parser::name_target() {
  const Token& token = expect(Token::Kind::name, "a name");
  static constexpr std::string_view kConstants[] = {"true", "false", "none",
                                                    "True", "False", "None"};
  if (std::find(std::begin(kConstants), std::end(kConstants), token.value) !=
      std::end(kConstants)) {
    fail(token.position, "can't assign to '" + token.value + "'");
  }
  return {Target::Kind::name, token.value, {}, {}, {}, token.position};
}

Target Parser::as_target(const Expression& expression, NamespaceTargets targets) const {
  Target target{Target::Kind::name, {}, {}, {}, {}, expression.position};
  if (const auto* name = std::get_if<Name>(&expression.node)) {
    target.name = name->name;
    return target;
  }
  if (const auto* attribute = std::get_if<Attribute>(&expression.node);
      attribute && targets == NamespaceTargets::yes) {
    if (const auto* object = std::get_if<Name>(&attribute->object->node)) {
      target.kind = Target::Kind::attribute;
      target.name = object->name;
      target.attribute = attribute->name;
      return target;
    }
  }
  const auto* tuple = std::get_if<ListDisplay>(&expression.node);
  if (tuple == nullptr || !tuple->tuple)
    fail(expression.position, "can't assign to this expression");
  target.kind = Target::Kind::tuple;
  for (const ExpressionPtr& item : tuple->items) target.items.push_back(as_target(*item, targets));
  return target;
}

}  // namespace guerdon::text::jinja
