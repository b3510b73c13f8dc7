/// Builds the tree of a template from its text.
#pragma once

#include "text/jinja_ast.h"

namespace guerdon::text::jinja {

/// Reads a template; names are not resolved yet. Brackets and blocks may be nested `depth` deep.
/// Throws Error (Kind::input) with "NAME:LINE:COLUMN".
Tree parse(std::string_view source, const std::string& name, int64_t depth);

/// The parser's state while it walks over the tokens; jinja_expressions.cpp reads expressions with
/// it, jinja_parser.cpp statements.
class Parser {
 public:
  Parser(std::string_view source, const std::string& name, int64_t depth);
  Tree run();

 private:
  // ---- tokens
  const Token& here() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  bool is(Token::Kind kind) const { return here().kind == kind; }
  bool is_symbol(std::string_view symbol) const {
    return is(Token::Kind::symbol) && here().value == symbol;
  }
  bool is_name(std::string_view name) const {
    return is(Token::Kind::name) && here().value == name;
  }
  const Token& advance() { return tokens_[is(Token::Kind::end) ? at_ : at_++]; }
  bool skip_symbol(std::string_view symbol);
  bool skip_name(std::string_view name);
  void expect_symbol(std::string_view symbol);
  void expect_name(std::string_view name);
  const Token& expect(Token::Kind kind, const char* what);
  [[noreturn]] void fail(Position position, const std::string& what) const;
  [[noreturn]] void fail_unexpected(const char* wanted) const;

  /// Counts a level of nesting while it lives.
  class Level {
   public:
    explicit Level(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > parser_.depth_limit_) parser_.fail_depth();
    }
    ~Level() { --parser_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Parser& parser_;
  };
  [[noreturn]] void fail_depth() const;

  // ---- expressions, in order of binding
  ExpressionPtr expression();
  ExpressionPtr or_expression();
  ExpressionPtr and_expression();
  ExpressionPtr not_expression();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  enum class Filters { yes, no };
  ExpressionPtr unary(Filters filters);
  enum class NamespaceTargets { yes, no };
  ExpressionPtr primary(NamespaceTargets targets = NamespaceTargets::no);
  ExpressionPtr postfix(ExpressionPtr operand);
  ExpressionPtr subscript(ExpressionPtr operand);
  ExpressionPtr filters_and_tests(ExpressionPtr operand);
  ExpressionPtr filter(ExpressionPtr input);
  ExpressionPtr filter_chain(ExpressionPtr input);
  ExpressionPtr test(ExpressionPtr input);
  ExpressionPtr list_display();
  ExpressionPtr dict_display();
  CallArguments call_arguments();
  /// Elements with commas between them: a tuple, or the one that there is.
  ExpressionPtr tuple_of(const std::function<ExpressionPtr()>& element, bool may_be_empty);
  enum class Inline { yes, no };
  /// `inline_if`: whether "a if b else c" may stand here.
  ExpressionPtr tuple(Inline inline_if = Inline::yes);
  bool at_tuple_end() const;

  // ---- statements
  Body statements(std::initializer_list<std::string_view> ends);
  Body block(std::initializer_list<std::string_view> ends);
  std::unique_ptr<Statement> statement();
  std::unique_ptr<Statement> if_statement();
  std::unique_ptr<Statement> for_statement();
  std::unique_ptr<Statement> set_statement();
  std::unique_ptr<Statement> macro_statement();
  std::unique_ptr<Statement> call_statement();
  std::unique_ptr<Statement> generation_statement();
  std::unique_ptr<Statement> filter_statement();
  std::unique_ptr<Statement> with_statement();
  void print_statement(Body& body);
  void signature(Function& function);
  Target target(NamespaceTargets targets);
  Target name_target();
  Target as_target(const Expression& expression, NamespaceTargets targets) const;

  template <class Node>
  static ExpressionPtr make(Position position, Node node) {
    return std::make_unique<Expression>(Expression{std::move(node), position});
  }
  template <class Node>
  static std::unique_ptr<Statement> make_statement(Position position, Node node) {
    return std::make_unique<Statement>(Statement{std::move(node), position});
  }

  const std::string& name_;
  const int64_t depth_limit_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int64_t depth_ = 0;
  bool has_generation_ = false;
  std::vector<std::pair<std::string, Position>> open_tags_;
};

}  // namespace guerdon::text::jinja
