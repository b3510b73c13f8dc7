#include <charconv>
#include <cmath>

#include "text/jinja_access.h"
#include "text/jinja_arguments.h"
#include "text/jinja_filters.h"
#include "text/jinja_format.h"
#include "text/jinja_print.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {
namespace {

void refuse_undefined(const Value& value) {
  if (value.is(Type::undefined)) fault(value.undefined_reason());
}

Value absolute(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("abs", arguments, {});
  if (input.is(Type::real)) return Value::real(std::fabs(input.as_real()));
  if (!input.is_integral()) fault("bad operand type for abs(): '", type_name(input), "'");
  return input.as_integer() < 0 ? negative(heap, input) : positive(heap, input);
}

/// The text without its white space and single underscores between digits, as int() and float()
/// read it; "" when it cannot be a number.
std::string plain_number(std::string_view text) {
  text = strip_space(text, Side::both);
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto alphanumeric = [&](size_t at) {
      return at < text.size() && is_alphanumeric(first_character(text.substr(at)));
    };
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || !alphanumeric(i - 1) || !alphanumeric(i + 1)) {
      return {};
    }
  }
  return out;
}

std::optional<double> parse_real(std::string_view text) {
  const std::string number = plain_number(text);
  const std::string lower = to_lower(number);
  const size_t sign = number.starts_with('+') || number.starts_with('-');
  const double factor = number.starts_with('-') ? -1 : 1;
  const std::string_view digits = std::string_view(lower).substr(sign);
  if (digits == "inf" || digits == "infinity") return factor * INFINITY;
  if (digits == "nan") return NAN;
  if (digits.empty() || digits.find_first_not_of("0123456789.e+-") != std::string_view::npos)
    return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (end != digits.data() + digits.size() || digits[0] == '-' || digits[0] == '+')
    return std::nullopt;
  if (error == std::errc::result_out_of_range) {
    // from_chars does not say whether it was too large or too small.
    value = std::strtod(std::string(digits).c_str(), nullptr);
  } else if (error != std::errc{}) {
    return std::nullopt;
  }
  return factor * value;
}

/// int(text, base).
std::optional<int64_t> parse_integer(std::string_view text, int64_t base) {
  std::string number = to_lower(plain_number(text));
  const bool minus = number.starts_with('-');
  if (minus || number.starts_with('+')) number.erase(0, 1);
  const auto prefix = [&](const char* mark, int of) {
    if ((base != of && base != 0) || !number.starts_with(mark)) return false;
    number.erase(0, 2);
    base = of;
    return true;
  };
  if (!prefix("0x", 16) && !prefix("0o", 8) && !prefix("0b", 2) && base == 0) {
    if (number.size() > 1 && number[0] == '0' && number.find_first_not_of('0') != std::string::npos)
      return std::nullopt;
    base = 10;
  }
  if (base < 2 || base > 36 || number.empty() || number[0] == '-' || number[0] == '+')
    return std::nullopt;
  uint64_t magnitude = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), magnitude,
                                            static_cast<int>(base));
  if (end != number.data() + number.size()) return std::nullopt;
  if (error != std::errc{} || magnitude > static_cast<uint64_t>(INT64_MAX))
    fault("an integer does not fit into 64 bits");
  return minus ? -static_cast<int64_t>(magnitude) : static_cast<int64_t>(magnitude);
}

std::optional<int64_t> truncated(double number) {
  if (!std::isfinite(number)) return std::nullopt;
  if (std::fabs(number) >= 9.2e18) fault("an integer does not fit into 64 bits");
  return static_cast<int64_t>(number);
}

Value to_integer(Heap&, const Value& input, const Arguments& arguments) {
  const Parameters given("int", arguments, {"default", "base"});
  refuse_undefined(input);
  std::optional<int64_t> result;
  if (input.is(Type::text)) {
    result = parse_integer(input.as_text(), given.integer(1, 10));
    if (const std::optional<double> number = result ? std::nullopt : parse_real(input.as_text()))
      result = truncated(*number);
  } else if (input.is_number()) {
    if (input.is(Type::real) && std::isinf(input.as_real()))
      fault("cannot convert float infinity to integer");
    result = input.is(Type::real) ? truncated(input.as_real()) : input.as_integer();
  }
  if (result) return Value::integer(*result);
  return given.has(0) ? given[0] : Value::integer(0);
}

Value to_real(Heap&, const Value& input, const Arguments& arguments) {
  const Parameters given("float", arguments, {"default"});
  refuse_undefined(input);
  if (input.is_number()) return Value::real(input.as_real());
  if (input.is(Type::text)) {
    if (const std::optional<double> number = parse_real(input.as_text()))
      return Value::real(*number);
  }
  return given.has(0) ? given[0] : Value::real(0);
}

/// round(number, precision): to the even neighbour when the binary value lies exactly between.
double rounded(double number, int64_t precision) {
  constexpr int64_t kExactDigits = 320;  // past it every double is its own rounding
  if (!std::isfinite(number) || precision > kExactDigits) return number;
  if (precision < -kExactDigits) return std::copysign(0.0, number);
  if (precision < 0) {
    const double unit = std::pow(10.0, static_cast<double>(-precision));
    return std::nearbyint(number / unit) * unit;
  }
  return *parse_real(format_real(number, 'f', precision));
}

int64_t rounded(int64_t number, int64_t precision) {
  if (precision >= 0) return number;
  if (precision < -18) return 0;
  int64_t unit = 1;
  for (int64_t i = 0; i < -precision; ++i) unit *= 10;
  int64_t quotient = number / unit;
  const int64_t rest = std::abs(number % unit);
  if (rest * 2 > unit || (rest * 2 == unit && quotient % 2 != 0)) quotient += number < 0 ? -1 : 1;
  return quotient * unit;
}

Value round(Heap&, const Value& input, const Arguments& arguments) {
  const Parameters given("round", arguments, {"precision", "method"});
  const int64_t precision = given.integer(0, 0);
  const std::string_view method = given.text(1, "common");
  if (method != "common" && method != "ceil" && method != "floor")
    fault("method must be common, ceil or floor");
  if (!input.is_number()) fault("type ", type_name(input), " doesn't define __round__ method");
  if (method == "common") {
    return input.is(Type::real) ? Value::real(rounded(input.as_real(), precision))
                                : Value::integer(rounded(input.as_integer(), precision));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = input.as_real() * scale;
  if (!std::isfinite(scaled)) fault("cannot convert float ", real_text(scaled), " to integer");
  return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Value filesizeformat(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("filesizeformat", arguments, {"binary"});
  refuse_undefined(input);
  const std::optional<double> bytes = input.is_number()      ? std::optional(input.as_real())
                                      : input.is(Type::text) ? parse_real(input.as_text())
                                                             : std::nullopt;
  if (!bytes) fault("could not convert ", represented(heap, input), " to float");
  const bool binary = given.flag(heap, 0, false);
  const double base = binary ? 1024 : 1000;
  if (*bytes == 1) return heap.text("1 Byte");
  if (*bytes < base) return heap.text(str(*truncated(*bytes), " Bytes"));
  static constexpr std::string_view kPrefixes = "kMGTPEZY";
  double unit = base;
  size_t prefix = 0;
  for (; prefix + 1 < kPrefixes.size() && *bytes >= unit * base; ++prefix) unit *= base;
  const char letter = binary && kPrefixes[prefix] == 'k' ? 'K' : kPrefixes[prefix];
  return heap.text(format_real(*bytes / unit, 'f', 1) + " " + letter + (binary ? "iB" : "B"));
}

}  // namespace

std::vector<NamedFilter> number_filters() {
  return {{"abs", absolute},
          {"filesizeformat", filesizeformat},
          {"float", to_real},
          {"int", to_integer},
          {"round", round}};
}

}  // namespace guerdon::text::jinja
