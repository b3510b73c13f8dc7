#include "text/jinja_operations.h"

#include <cmath>
#include <limits>

#include "text/jinja_access.h"
#include "text/jinja_format.h"
#include "text/jinja_print.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {
namespace {

const char* symbol_of(Operator op) {
  switch (op) {
    case Operator::add: return "+";
    case Operator::subtract: return "-";
    case Operator::multiply: return "*";
    case Operator::divide: return "/";
    case Operator::floor_divide: return "//";
    case Operator::modulo: return "%";
    case Operator::power: return "** or pow()";
  }
  return "?";
}

const char* symbol_of(Comparison comparison) {
  switch (comparison) {
    case Comparison::less: return "<";
    case Comparison::less_equal: return "<=";
    case Comparison::greater: return ">";
    default: return ">=";
  }
}

void refuse_undefined(const Value& value) {
  if (value.is(Type::undefined)) fault(value.undefined_reason());
}

/// -1, 0, 1, or 2 for a NaN. Exact for integers that double cannot hold: long double has 64 bits of
/// mantissa.
int order_of_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    return a.as_integer() < b.as_integer() ? -1 : a.as_integer() > b.as_integer();
  }
  const auto wide = [](const Value& v) {
    return v.is(Type::real) ? static_cast<long double>(v.as_real())
                            : static_cast<long double>(v.as_integer());
  };
  const long double x = wide(a), y = wide(b);
  if (std::isnan(x) || std::isnan(y)) return 2;
  return x < y ? -1 : x > y;
}

bool equal_dicts(Heap& heap, const Dict& a, const Dict& b) {
  if (a.entries().size() != b.entries().size()) return false;
  for (const auto& [key, value] : a.entries()) {
    const Value* other = b.find(heap, key);
    if (other == nullptr || !equal(heap, value, *other)) return false;
  }
  return true;
}

bool equal_ranges(const Range& a, const Range& b) {
  if (a.length != b.length) return false;
  return a.length == 0 || (a.start == b.start && (a.length == 1 || a.step == b.step));
}

}  // namespace

bool truth(Heap& heap, const Value& value) {
  switch (value.type()) {
    case Type::missing:
    case Type::undefined:
    case Type::none: return false;
    case Type::boolean:
    case Type::integer: return value.as_integer() != 0;
    case Type::real: return value.as_real() != 0;
    case Type::iterator:
    case Type::host: return true;
    default: return length_of_value(heap, value) != 0;
  }
}

bool same(const Value& a, const Value& b) {
  if (a.type() != b.type()) return false;
  switch (a.type()) {
    case Type::none: return true;
    case Type::boolean:
    case Type::integer: return a.as_integer() == b.as_integer();
    case Type::real: return a.as_real() == b.as_real();
    case Type::text: return a.as_text() == b.as_text();
    case Type::tuple:
      return a.identity() == b.identity() || (a.items().empty() && b.items().empty());
    default: return a.identity() == b.identity();
  }
}

bool equal(Heap& heap, const Value& a, const Value& b) {
  heap.step();
  if (a.is_number() && b.is_number()) return order_of_numbers(a, b) == 0;
  if (a.type() != b.type()) return false;
  switch (a.type()) {
    case Type::none:
    case Type::undefined: return true;
    case Type::text: heap.step_bytes(a.as_text().size()); return a.as_text() == b.as_text();
    case Type::list:
    case Type::tuple: {
      if (a.items().size() != b.items().size()) return false;
      for (size_t i = 0; i < a.items().size(); ++i) {
        if (!equal(heap, a.items()[i], b.items()[i])) return false;
      }
      return true;
    }
    case Type::dict: return equal_dicts(heap, a.dict(), b.dict());
    case Type::range: return equal_ranges(a.object<Range>(), b.object<Range>());
    default: return a.identity() == b.identity();
  }
}

size_t hash_of(Heap& heap, const Value& value) {
  heap.step();
  switch (value.type()) {
    case Type::none:
    case Type::missing:
    case Type::undefined: return 1;
    case Type::boolean:
    case Type::integer: return std::hash<int64_t>()(value.as_integer());
    case Type::real: {
      const double number = value.as_real();
      const bool whole = number == std::floor(number) && std::fabs(number) < 9.2e18;
      return whole ? std::hash<int64_t>()(static_cast<int64_t>(number))
                   : std::hash<double>()(number);
    }
    case Type::text:
      heap.step_bytes(value.as_text().size());
      return std::hash<std::string_view>()(value.as_text());
    case Type::tuple: {
      size_t hash = value.items().size();
      for (const Value& item : value.items()) hash = hash * 1'000'003 + hash_of(heap, item);
      return hash;
    }
    case Type::range: return static_cast<size_t>(value.object<Range>().length);
    case Type::iterator:
    case Type::host: return std::hash<const void*>()(value.identity());
    default: fault("unhashable type: '", type_name(value), "'");
  }
}

namespace {

bool ordered(Heap& heap, Comparison comparison, const Value& a, const Value& b) {
  const auto decide = [&](int order) {
    switch (comparison) {
      case Comparison::less: return order == -1;
      case Comparison::less_equal: return order == -1 || order == 0;
      case Comparison::greater: return order == 1;
      default: return order == 1 || order == 0;
    }
  };
  heap.step();
  if (a.is_number() && b.is_number()) return decide(order_of_numbers(a, b));
  if (a.is(Type::text) && b.is(Type::text)) {
    // The order of UTF-8 bytes is that of the code points.
    heap.step_bytes(std::min(a.as_text().size(), b.as_text().size()));
    const int order = a.as_text().compare(b.as_text());
    return decide(order < 0 ? -1 : order > 0);
  }
  if (a.is_sequence() && a.type() == b.type()) {
    const size_t shared = std::min(a.items().size(), b.items().size());
    for (size_t i = 0; i < shared; ++i) {
      if (!equal(heap, a.items()[i], b.items()[i]))
        return ordered(heap, comparison, a.items()[i], b.items()[i]);
    }
    return decide(a.items().size() < b.items().size() ? -1 : a.items().size() > b.items().size());
  }
  refuse_undefined(a);
  refuse_undefined(b);
  fault("'", symbol_of(comparison), "' not supported between instances of '", type_name(a),
        "' and '", type_name(b), "'");
}

}  // namespace

bool compare(Heap& heap, Comparison comparison, const Value& a, const Value& b) {
  switch (comparison) {
    case Comparison::equal: return equal(heap, a, b);
    case Comparison::not_equal: return !equal(heap, a, b);
    case Comparison::in: return contains(heap, b, a);
    case Comparison::not_in: return !contains(heap, b, a);
    default: return ordered(heap, comparison, a, b);
  }
}

bool less(Heap& heap, const Value& a, const Value& b) {
  return ordered(heap, Comparison::less, a, b);
}

bool contains(Heap& heap, const Value& container, const Value& item) {
  switch (container.type()) {
    case Type::text:
      if (!item.is(Type::text)) {
        fault("'in <string>' requires string as left operand, not ", type_name(item));
      }
      heap.step_bytes(4 * (container.as_text().size() + item.as_text().size()));
      return find_text(container.as_text(), item.as_text()) != std::string_view::npos;
    case Type::dict: return container.dict().find(heap, item) != nullptr;
    case Type::view:
      if (const View& view = container.object<View>(); view.kind == View::Kind::keys) {
        return view.source.dict().find(heap, item) != nullptr;
      }
      break;
    case Type::undefined: return false;
    case Type::list:
    case Type::tuple:
    case Type::range:
    case Type::iterator: break;
    default: fault("argument of type '", type_name(container), "' is not iterable");
  }
  Iteration walk(heap, container);
  for (Value element; walk.next(element);) {
    if (equal(heap, element, item)) return true;
  }
  return false;
}

// ---- arithmetic

namespace {

[[noreturn]] void fail_operands(Operator op, const Value& a, const Value& b) {
  refuse_undefined(a);
  refuse_undefined(b);
  if (op == Operator::add && a.is(Type::text)) {
    fault("can only concatenate str (not \"", type_name(b), "\") to str");
  }
  if (op == Operator::add && a.is_sequence()) {
    fault("can only concatenate ", type_name(a), " (not \"", type_name(b), "\") to ", type_name(a));
  }
  if (op == Operator::multiply &&
      (a.is(Type::text) || a.is_sequence() || b.is(Type::text) || b.is_sequence())) {
    const Value& factor = a.is(Type::text) || a.is_sequence() ? b : a;
    fault("can't multiply sequence by non-int of type '", type_name(factor), "'");
  }
  fault("unsupported operand type(s) for ", symbol_of(op), ": '", type_name(a), "' and '",
        type_name(b), "'");
}

/// `result` is read after the operation that `overflow` tells of.
int64_t checked(bool overflow, const int64_t& result) {
  if (overflow) fault("an integer does not fit into 64 bits");
  return result;
}

/// Rounds towards minus infinity.
int64_t floor_divide(int64_t a, int64_t b) {
  if (b == -1) {
    int64_t result = 0;
    return checked(__builtin_sub_overflow(int64_t{0}, a, &result), result);
  }
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

int64_t modulo(int64_t a, int64_t b) {
  if (b == -1) return 0;
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

double modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

double floor_divide(double a, double b) {
  const double quotient = (a - modulo(a, b)) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

int64_t integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  bool overflow = false;
  while (exponent > 0) {
    if (exponent & 1) overflow |= __builtin_mul_overflow(result, base, &result);
    exponent >>= 1;
    if (overflow) break;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow = true;
  }
  return checked(overflow, result);
}

Value integers(Operator op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case Operator::add:
      return Value::integer(checked(__builtin_add_overflow(a, b, &result), result));
    case Operator::subtract:
      return Value::integer(checked(__builtin_sub_overflow(a, b, &result), result));
    case Operator::multiply:
      return Value::integer(checked(__builtin_mul_overflow(a, b, &result), result));
    case Operator::divide:
      if (b == 0) fault("division by zero");
      return Value::real(
          static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
    case Operator::floor_divide:
      if (b == 0) fault("integer division or modulo by zero");
      return Value::integer(floor_divide(a, b));
    case Operator::modulo:
      if (b == 0) fault("integer modulo by zero");
      return Value::integer(modulo(a, b));
    case Operator::power:
      if (b >= 0) return Value::integer(integer_power(a, b));
      if (a == 0) fault("0.0 cannot be raised to a negative power");
      return Value::real(std::pow(static_cast<double>(a), static_cast<double>(b)));
  }
  return {};
}

Value reals(Operator op, double a, double b) {
  switch (op) {
    case Operator::add: return Value::real(a + b);
    case Operator::subtract: return Value::real(a - b);
    case Operator::multiply: return Value::real(a * b);
    case Operator::divide:
      if (b == 0) fault("float division by zero");
      return Value::real(a / b);
    case Operator::floor_divide:
      if (b == 0) fault("float floor division by zero");
      return Value::real(floor_divide(a, b));
    case Operator::modulo:
      if (b == 0) fault("float modulo");
      return Value::real(modulo(a, b));
    case Operator::power: {
      if (a == 0 && b < 0) fault("0.0 cannot be raised to a negative power");
      if (a < 0 && b != std::floor(b))
        fault("a negative number cannot be raised to a fractional power");
      const double power = std::pow(a, b);
      if (std::isinf(power) && std::isfinite(a) && std::isfinite(b))
        fault("(34, 'Numerical result out of range')");
      return Value::real(power);
    }
  }
  return {};
}

Value repeat(Heap& heap, const Value& sequence, int64_t times) {
  const uint64_t count = times < 0 ? 0 : static_cast<uint64_t>(times);
  if (sequence.is(Type::text)) {
    const std::string& text = sequence.as_text();
    if (count != 0 && text.size() > std::numeric_limits<uint64_t>::max() / count)
      heap.check_bytes(UINT64_MAX);
    heap.check_bytes(text.size() * count);
    std::string out;
    out.reserve(text.size() * count);
    for (uint64_t i = 0; i < (text.empty() ? 0 : count); ++i) out += text;
    return heap.text(std::move(out), sequence.is_safe_text());
  }
  const std::vector<Value>& items = sequence.items();
  if (count != 0 && items.size() > std::numeric_limits<uint64_t>::max() / count)
    heap.check_items(UINT64_MAX);
  heap.check_items(items.size() * count);
  std::vector<Value> out;
  out.reserve(items.size() * count);
  for (uint64_t i = 0; i < (items.empty() ? 0 : count); ++i)
    out.insert(out.end(), items.begin(), items.end());
  return sequence.is(Type::list) ? heap.list(std::move(out)) : heap.tuple(std::move(out));
}

Value joined(Heap& heap, const Value& a, const Value& b) {
  heap.check_items(a.items().size() + b.items().size());
  std::vector<Value> out;
  out.reserve(a.items().size() + b.items().size());
  out.insert(out.end(), a.items().begin(), a.items().end());
  out.insert(out.end(), b.items().begin(), b.items().end());
  return a.is(Type::list) ? heap.list(std::move(out)) : heap.tuple(std::move(out));
}

}  // namespace

std::string escape_html(Heap& heap, std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&#34;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  heap.check_bytes(out.size());
  return out;
}

Value concatenate(Heap& heap, const Value& a, const Value& b) {
  const bool safe = a.is_safe_text() || b.is_safe_text();
  const auto part = [&](const Value& value) {
    return safe && !value.is_safe_text() ? escape_html(heap, value.as_text()) : value.as_text();
  };
  if (safe) return heap.text(part(a) + part(b), true);
  heap.check_bytes(a.as_text().size() + b.as_text().size());
  std::string out;
  out.reserve(a.as_text().size() + b.as_text().size());
  out += a.as_text();
  out += b.as_text();
  return heap.text(std::move(out));
}

Value arithmetic(Heap& heap, Operator op, const Value& a, const Value& b) {
  heap.step();
  if (a.is_integral() && b.is_integral()) return integers(op, a.as_integer(), b.as_integer());
  if (a.is_number() && b.is_number()) return reals(op, a.as_real(), b.as_real());
  if (op == Operator::add) {
    if (a.is(Type::text) && b.is(Type::text)) return concatenate(heap, a, b);
    if (a.is_sequence() && a.type() == b.type()) return joined(heap, a, b);
  }
  if (op == Operator::multiply) {
    if ((a.is(Type::text) || a.is_sequence()) && b.is_integral())
      return repeat(heap, a, b.as_integer());
    if (a.is_integral() && (b.is(Type::text) || b.is_sequence()))
      return repeat(heap, b, a.as_integer());
  }
  if (op == Operator::modulo && a.is(Type::text)) return format_percent(heap, a, b);
  fail_operands(op, a, b);
}

Value negative(Heap&, const Value& value) {
  refuse_undefined(value);
  if (value.is(Type::real)) return Value::real(-value.as_real());
  if (!value.is_integral()) fault("bad operand type for unary -: '", type_name(value), "'");
  int64_t result = 0;
  return Value::integer(
      checked(__builtin_sub_overflow(int64_t{0}, value.as_integer(), &result), result));
}

Value positive(Heap&, const Value& value) {
  refuse_undefined(value);
  if (value.is(Type::real)) return value;
  if (!value.is_integral()) fault("bad operand type for unary +: '", type_name(value), "'");
  return Value::integer(value.as_integer());
}

}  // namespace guerdon::text::jinja
