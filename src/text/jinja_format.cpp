#include "text/jinja_format.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "guerdon/base/utf8.h"
#include "text/jinja_format_parts.h"
#include "text/jinja_print.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {

std::string digits_of(uint64_t magnitude, int base, bool capitals) {
  char buffer[70];
  std::string digits(buffer, std::to_chars(buffer, buffer + sizeof buffer, magnitude, base).ptr);
  return capitals ? to_upper(digits) : digits;
}

uint64_t magnitude_of(int64_t value) {
  return value < 0 ? ~static_cast<uint64_t>(value) + 1 : static_cast<uint64_t>(value);
}

int64_t parse_count(std::string_view text, size_t& at, const char* what) {
  int64_t count = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    count = count * 10 + (text[at] - '0');
    if (count > (int64_t{1} << 32)) fault(what, " in a format is too large");
  }
  return count;
}

std::string padded(Heap& heap, const Specification& spec, const std::string& sign,
                   const std::string& body, char default_align) {
  const char align = spec.align == 0 ? default_align : spec.align;
  const int64_t length = length_of(sign) + length_of(body);
  const int64_t missing = std::max<int64_t>(spec.width - length, 0);
  heap.check_bytes(static_cast<uint64_t>(missing) * spec.fill.size() + body.size());
  const auto fill = [&](int64_t count) {
    std::string out;
    for (int64_t i = 0; i < count; ++i) out += spec.fill;
    return out;
  };
  switch (align) {
    case '<': return sign + body + fill(missing);
    case '^': return fill(missing / 2) + sign + body + fill(missing - missing / 2);
    case '=': return sign + fill(missing) + body;
    default: return fill(missing) + sign + body;
  }
}

std::string sign_of(bool negative, char sign) {
  return negative ? "-" : sign == '-' ? "" : std::string(1, sign);
}

std::string format_text(Heap& heap, const Specification& spec, std::string_view text) {
  if (spec.type != 0 && spec.type != 's') {
    fault("Unknown format code '", std::string(1, spec.type), "' for object of type 'str'");
  }
  if (spec.align == '=' && spec.fill != "0")
    fault("'=' alignment not allowed in string format specifier");
  if (spec.precision >= 0) text = text.substr(0, byte_of(text, spec.precision));
  Specification left = spec;
  if (left.align == '=') left.align = '<';  // from a leading zero
  return padded(heap, left, "", std::string(text), '<');
}

namespace {

/// Digits after the point that a template may ask for.
constexpr int64_t kMostDigits = 4096;

bool is_align(char c) { return c == '<' || c == '>' || c == '=' || c == '^'; }

Specification parse_specification(std::string_view text) {
  Specification result;
  size_t at = 0;
  const auto here = [&] { return at < text.size() ? text[at] : '\0'; };
  const size_t first = text.empty() ? 0 : character_bytes(text);
  if (first < text.size() && is_align(text[first])) {
    result.fill = text.substr(0, first);
    result.align = text[first];
    at = first + 1;
  } else if (is_align(here())) {
    result.align = text[at++];
  }
  if (here() == '+' || here() == '-' || here() == ' ') result.sign = text[at++];
  if (here() == '#') result.alternate = true, ++at;
  if (here() == '0') {
    if (result.align == 0) result.fill = "0", result.align = '=';
    ++at;
  }
  result.width = parse_count(text, at, "the width");
  if (here() == ',' || here() == '_') result.grouping = text[at++];
  if (here() == '.') {
    ++at;
    const size_t digits = at;
    result.precision = parse_count(text, at, "the precision");
    if (at == digits) fault("Format specifier missing precision");
  }
  if (at < text.size()) result.type = text[at++];
  if (at != text.size()) fault("Invalid format specifier ", quote(text));
  return result;
}

/// "1234567" -> "1,234,567"
std::string grouped(const std::string& digits, char separator, size_t every) {
  if (separator == 0) return digits;
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % every == 0) out += separator;
    out += digits[i];
  }
  return out;
}

std::string format_integer(Heap& heap, const Specification& spec, int64_t value) {
  int base = 10;
  std::string prefix;
  switch (spec.type) {
    case 0:
    case 'd':
    case 'n': break;
    case 'b': base = 2, prefix = "0b"; break;
    case 'o': base = 8, prefix = "0o"; break;
    case 'x': base = 16, prefix = "0x"; break;
    case 'X': base = 16, prefix = "0X"; break;
    case 'c': {
      if (value < 0 || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
        fault("%c arg not in range(0x110000)");
      std::string character;
      utf8_append(character, static_cast<char32_t>(value));
      return padded(heap, spec, "", character, '<');
    }
    default:
      fault("Unknown format code '", std::string(1, spec.type), "' for object of type 'int'");
  }
  if (spec.precision >= 0) fault("Precision not allowed in integer format specifier");
  std::string digits = digits_of(magnitude_of(value), base, spec.type == 'X');
  if (spec.fill == "0" && spec.align == '=' && spec.grouping != 0) {
    // Zeros that fill up are grouped as well.
    const int64_t room = spec.width - (value < 0 || spec.sign != '-');
    while (static_cast<int64_t>(grouped(digits, spec.grouping, base == 10 ? 3 : 4).size()) < room &&
           digits.size() < 1000) {
      digits.insert(0, "0");
    }
    const std::string wide = grouped(digits, spec.grouping, base == 10 ? 3 : 4);
    if (static_cast<int64_t>(wide.size()) > room && digits[0] == '0' && digits.size() > 1)
      digits.erase(0, 1);
  }
  return padded(heap, spec, sign_of(value < 0, spec.sign) + (spec.alternate ? prefix : ""),
                grouped(digits, spec.grouping, base == 10 ? 3 : 4), '>');
}

/// Without a type: as "g", but with a digit behind the point, for which the exponent form comes one
/// power of ten earlier.
std::string format_plain(double magnitude, int64_t precision) {
  std::string general = format_real(magnitude, 'g', precision);
  if (!std::isfinite(magnitude) || general.find('e') != std::string::npos) return general;
  const int64_t digits = std::max<int64_t>(precision, 1);
  const std::string scientific = format_real(magnitude, 'e', digits - 1);
  const size_t e = scientific.find('e');
  if (std::stoi(scientific.substr(e + 1)) < digits - 1) {
    return general.find('.') == std::string::npos ? general + ".0" : general;
  }
  std::string mantissa = scientific.substr(0, e);
  if (mantissa.find('.') != std::string::npos) {
    mantissa.erase(mantissa.find_last_not_of('0') + 1);
    if (mantissa.ends_with('.')) mantissa.pop_back();
  }
  return mantissa + scientific.substr(e);
}

std::string format_number(Heap& heap, const Specification& spec, double value) {
  const bool negative = std::signbit(value) && !std::isnan(value);
  const double magnitude = std::fabs(value);
  std::string body;
  switch (spec.type) {
    case 0:
      body = spec.precision < 0 ? real_text(magnitude) : format_plain(magnitude, spec.precision);
      break;
    case 'n': body = format_real(magnitude, 'g', spec.precision); break;
    case '%': body = format_real(magnitude * 100, 'f', spec.precision) + "%"; break;
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G': body = format_real(magnitude, spec.type, spec.precision); break;
    default:
      fault("Unknown format code '", std::string(1, spec.type), "' for object of type 'float'");
  }
  const size_t whole = std::min(body.find_first_not_of("0123456789"), body.size());
  body = grouped(body.substr(0, whole), spec.grouping, 3) + body.substr(whole);
  return padded(heap, spec, sign_of(negative, spec.sign), body, '>');
}

}  // namespace

std::string format_real(double number, char type, int64_t precision) {
  const bool capitals = type == 'E' || type == 'F' || type == 'G';
  if (!std::isfinite(number)) {
    const std::string name = real_text(number);
    return capitals ? to_upper(name) : name;
  }
  if (precision > kMostDigits) fault("the precision in a format is larger than ", kMostDigits);
  const auto digits = static_cast<int>(precision < 0 ? 6 : precision);
  const std::chars_format format = type == 'e' || type == 'E'   ? std::chars_format::scientific
                                   : type == 'f' || type == 'F' ? std::chars_format::fixed
                                                                : std::chars_format::general;
  std::string buffer(static_cast<size_t>(digits) + 400, '\0');
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), number, format,
                    format == std::chars_format::general ? std::max(digits, 1) : digits);
  buffer.resize(static_cast<size_t>(end.ptr - buffer.data()));
  return capitals ? to_upper(buffer) : buffer;
}

std::string format_value(Heap& heap, const Value& value, std::string_view specification) {
  if (specification.empty()) return printed(heap, value);
  if (value.is(Type::text))
    return format_text(heap, parse_specification(specification), value.as_text());
  if (!value.is_number()) {
    fault("unsupported format string passed to ", type_name(value), ".__format__");
  }
  const Specification spec = parse_specification(specification);
  const bool as_real =
      spec.type != 0 && std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos;
  if (value.is(Type::real) || as_real) return format_number(heap, spec, value.as_real());
  return format_integer(heap, spec, value.as_integer());
}

}  // namespace guerdon::text::jinja
