/// What a template says, as a tree. The parser builds it, resolve_names() fills in the slots, the
/// evaluator reads it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja_filters.h"
#include "text/jinja_lexer.h"
#include "text/jinja_operations.h"
#include "text/jinja_tests.h"

namespace guerdon::text::jinja {

// ---- names

/// Where a variable lives: `hops` functions up, at `index` of that function's slots.
struct Slot {
  int32_t hops = 0, index = -1;
};

/// How a variable of a scope begins when the scope is entered.
struct Load {
  enum class Kind {
    given,    ///< by who enters: parameters, loop variables
    context,  ///< what the caller of the template passed under that name
    outer,    ///< the value of a variable further out
    nothing,
  };
  Kind kind;
  int32_t index;  ///< slot of the function at hand
  Slot outer;
  std::string name;
};
using Scope = std::vector<Load>;

// ---- expressions

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr more_positional, more_named;  ///< *a, **b
};

struct Literal {
  Value value;
};
struct Name {
  std::string name;
  Slot slot;
};
struct Attribute {
  ExpressionPtr object;
  std::string name;
};
struct Item {
  ExpressionPtr object, index;
};
struct Slice {
  ExpressionPtr object, start, stop, step;  ///< the last three may be null
};
struct Call {
  ExpressionPtr callee;
  CallArguments arguments;
};
struct FilterCall {
  ExpressionPtr input;  ///< null in {% filter %} and {% set %} blocks, where it is the block's text
  std::string name;
  FilterFunction function;  ///< null when there is none of that name
  CallArguments arguments;
};
struct TestCall {
  ExpressionPtr input;
  std::string name;
  TestFunction function;
  CallArguments arguments;
};
struct Unary {
  enum class Kind { negative, positive, negate } kind;
  ExpressionPtr operand;
};
struct Arithmetic {  ///< first op operand op operand ..., from the left
  ExpressionPtr first;
  std::vector<std::pair<Operator, ExpressionPtr>> rest;
};
struct Compare {  ///< a < b < c: each pair must hold
  ExpressionPtr first;
  std::vector<std::pair<Comparison, ExpressionPtr>> rest;
};
struct Logic {
  bool all;  ///< and; else or
  std::vector<ExpressionPtr> operands;
};
struct Concat {
  std::vector<ExpressionPtr> pieces;
};
struct Conditional {
  ExpressionPtr test, then, otherwise;  ///< `otherwise` may be null
};
struct ListDisplay {
  bool tuple;
  std::vector<ExpressionPtr> items;
};
struct DictDisplay {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
};

struct Expression {
  std::variant<Literal, Name, Attribute, Item, Slice, Call, FilterCall, TestCall, Unary, Arithmetic,
               Compare, Logic, Concat, Conditional, ListDisplay, DictDisplay>
      node;
  Position position;
};

// ---- statements

struct Statement;
using Body = std::vector<std::unique_ptr<Statement>>;

/// What can stand left of "=": a name, an attribute of a namespace, or several of them.
struct Target {
  enum class Kind { name, attribute, tuple } kind;
  std::string name, attribute;
  Slot slot;
  std::vector<Target> items;
  Position position;
};

/// A macro, the body of a {% call %}, or of a {% generation %}.
struct Function {
  std::string name;  ///< "" without one
  std::vector<Target> parameters;
  std::vector<ExpressionPtr> defaults;  ///< of the last parameters
  Body body;
  Scope scope;
  int32_t slots = 0;
  int32_t caller = -1, kwargs = -1, varargs = -1;  ///< their slots, when the body asks for them
};

struct Data {
  std::string text;
};
struct Output {
  ExpressionPtr value;
};
struct If {
  std::vector<std::pair<ExpressionPtr, Body>> branches;
  Body otherwise;
};
struct For {
  Target target;
  ExpressionPtr iterable, test;  ///< `test` may be null
  Body body, otherwise;
  bool recursive = false;
  Target test_target;  ///< the target again, as the test sees it
  Scope scope, test_scope, else_scope;
  int32_t loop = -1;  ///< slot of `loop`, when the body asks for it
  int32_t slots = 0;  ///< of a recursive loop, which is a function of its own
};
struct Set {
  Target target;
  ExpressionPtr value;
};
struct SetBlock {
  Target target;
  ExpressionPtr filter;  ///< may be null
  Body body;
  Scope scope;
};
struct Macro {
  Target target;
  std::unique_ptr<Function> function;
};
struct CallBlock {
  ExpressionPtr call;
  std::unique_ptr<Function> function;
};
struct Generation {
  std::unique_ptr<Function> function;
};
struct FilterBlock {
  ExpressionPtr filter;
  Body body;
  Scope scope;
};
struct With {
  std::vector<Target> targets;
  std::vector<ExpressionPtr> values;
  Body body;
  Scope scope;
};
struct Break {};
struct Continue {};

struct Statement {
  std::variant<Data, Output, If, For, Set, SetBlock, Macro, CallBlock, Generation, FilterBlock,
               With, Break, Continue>
      node;
  Position position;
};

/// A whole template: a function without parameters.
struct Tree {
  Function root;
  bool has_generation = false;
};

}  // namespace guerdon::text::jinja
