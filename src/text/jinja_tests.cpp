#include "text/jinja_tests.h"

#include <unordered_map>

#include "text/jinja_access.h"
#include "text/jinja_arguments.h"
#include "text/jinja_filters.h"
#include "text/jinja_methods.h"
#include "text/jinja_print.h"

namespace guerdon::text::jinja {
namespace {

bool is_large_integer(const Value& value) {
  return value.is(Type::host) && type_name(value) == "int";
}

template <Type type>
bool of_type(Heap&, const Value& input, const Arguments& arguments) {
  Parameters("test", arguments, {});
  return input.is(type);
}

template <bool defined>
bool is_defined(Heap&, const Value& input, const Arguments& arguments) {
  Parameters("defined", arguments, {});
  return input.is(Type::undefined) != defined;
}

template <bool wanted>
bool is_boolean_value(Heap&, const Value& input, const Arguments& arguments) {
  Parameters("test", arguments, {});
  return input.is(Type::boolean) && input.as_boolean() == wanted;
}

bool integer(Heap&, const Value& input, const Arguments& arguments) {
  Parameters("integer", arguments, {});
  return input.is(Type::integer) || is_large_integer(input);
}

bool number(Heap&, const Value& input, const Arguments& arguments) {
  Parameters("number", arguments, {});
  return input.is_number() || is_large_integer(input);
}

bool sequence(Heap&, const Value& input, const Arguments& arguments) {
  Parameters("sequence", arguments, {});
  return has_length(input) && !input.is(Type::view);
}

bool iterable(Heap&, const Value& input, const Arguments& arguments) {
  Parameters("iterable", arguments, {});
  return is_iterable(input);
}

bool callable(Heap&, const Value& input, const Arguments& arguments) {
  Parameters("callable", arguments, {});
  return input.is(Type::undefined) || (input.is(Type::host) && input.object<Host>().callable());
}

bool escaped(Heap&, const Value& input, const Arguments& arguments) {
  Parameters("escaped", arguments, {});
  return input.is_safe_text();
}

bool remainder_is(Heap& heap, const Value& input, const Value& divisor, int64_t remainder) {
  return equal(heap, arithmetic(heap, Operator::modulo, input, divisor), Value::integer(remainder));
}

template <int64_t remainder>
bool parity(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("test", arguments, {});
  return remainder_is(heap, input, Value::integer(2), remainder);
}

bool divisibleby(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("divisibleby", arguments, {"num"}, 1);
  return remainder_is(heap, input, given[0], 0);
}

template <bool upper>
bool of_case(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("test", arguments, {});
  const MethodFunction method = find_text_method(upper ? "isupper" : "islower");
  return method(heap, heap.text(printed(heap, input)), arguments).as_boolean();
}

template <Comparison comparison>
bool compares(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("test", arguments, {""}, 1);
  return compare(heap, comparison, input, given[0]);
}

bool sameas(Heap&, const Value& input, const Arguments& arguments) {
  const Parameters given("sameas", arguments, {"other"}, 1);
  return same(input, given[0]);
}

bool in(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("in", arguments, {"seq"}, 1);
  return contains(heap, given[0], input);
}

bool filter(Heap&, const Value& input, const Arguments& arguments) {
  Parameters("filter", arguments, {});
  return input.is(Type::text) && find_filter(input.as_text()) != nullptr;
}

bool test(Heap&, const Value& input, const Arguments& arguments) {
  Parameters("test", arguments, {});
  return input.is(Type::text) && find_test(input.as_text()) != nullptr;
}

using Table = std::unordered_map<std::string_view, TestFunction>;
const Table& table() {
  static const Table tests = {{"!=", compares<Comparison::not_equal>},
                              {"<", compares<Comparison::less>},
                              {"<=", compares<Comparison::less_equal>},
                              {"==", compares<Comparison::equal>},
                              {">", compares<Comparison::greater>},
                              {">=", compares<Comparison::greater_equal>},
                              {"boolean", of_type<Type::boolean>},
                              {"callable", callable},
                              {"defined", is_defined<true>},
                              {"divisibleby", divisibleby},
                              {"eq", compares<Comparison::equal>},
                              {"equalto", compares<Comparison::equal>},
                              {"escaped", escaped},
                              {"even", parity<0>},
                              {"false", is_boolean_value<false>},
                              {"filter", filter},
                              {"float", of_type<Type::real>},
                              {"ge", compares<Comparison::greater_equal>},
                              {"greaterthan", compares<Comparison::greater>},
                              {"gt", compares<Comparison::greater>},
                              {"in", in},
                              {"integer", integer},
                              {"iterable", iterable},
                              {"le", compares<Comparison::less_equal>},
                              {"lessthan", compares<Comparison::less>},
                              {"lower", of_case<false>},
                              {"lt", compares<Comparison::less>},
                              {"mapping", of_type<Type::dict>},
                              {"ne", compares<Comparison::not_equal>},
                              {"none", of_type<Type::none>},
                              {"number", number},
                              {"odd", parity<1>},
                              {"sameas", sameas},
                              {"sequence", sequence},
                              {"string", of_type<Type::text>},
                              {"test", test},
                              {"true", is_boolean_value<true>},
                              {"undefined", is_defined<false>},
                              {"upper", of_case<true>}};
  return tests;
}

}  // namespace

TestFunction find_test(std::string_view name) {
  const auto found = table().find(name);
  return found == table().end() ? nullptr : found->second;
}

std::vector<std::string> test_names() {
  std::vector<std::string> names;
  for (const auto& [name, function] : table()) names.emplace_back(name);
  return names;
}

}  // namespace guerdon::text::jinja
