#include <algorithm>
#include <cmath>

#include "guerdon/base/utf8.h"
#include "text/jinja_format.h"
#include "text/jinja_format_parts.h"
#include "text/jinja_operations.h"
#include "text/jinja_print.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {

namespace {

/// One "%(key)-08.3d".
struct Directive {
  bool left = false, plus = false, blank = false, alternate = false, zero = false;
  int64_t width = 0, precision = -1;
  char type = 0;
};

/// Where the arguments of `format % arguments` come from.
class PercentArguments {
 public:
  PercentArguments(Heap& heap, const Value& arguments) : heap_(heap), arguments_(arguments) {}

  const Value& next() {
    if (arguments_.is(Type::tuple)) {
      if (at_ >= arguments_.items().size()) fault("not enough arguments for format string");
      return arguments_.items()[at_++];
    }
    if (at_++ > 0) fault("not enough arguments for format string");
    return arguments_;
  }
  const Value& named(std::string_view key) {
    if (!arguments_.is(Type::dict)) fault("format requires a mapping");
    const Value* found = arguments_.dict().find(key);
    if (found == nullptr) fault("no key ", quote(key), " for the format string");
    by_name_ = true;
    return *found;
  }
  void finish() const {
    const bool all_used = arguments_.is(Type::tuple) ? at_ == arguments_.items().size() : at_ == 1;
    // What Python can index, texts apart, may stand for named arguments.
    const bool indexable = arguments_.is(Type::dict) || arguments_.is(Type::list) ||
                           arguments_.is(Type::range) || arguments_.is(Type::undefined);
    if (!all_used && !by_name_ && !indexable)
      fault("not all arguments converted during string formatting");
  }

 private:
  Heap& heap_;
  const Value& arguments_;
  size_t at_ = 0;
  bool by_name_ = false;
};

int64_t whole_number(const Value& value, char type) {
  if (value.is(Type::undefined)) fault(value.undefined_reason());
  if (value.is_integral()) return value.as_integer();
  const bool truncates = type == 'd' || type == 'i' || type == 'u';
  if (!value.is(Type::real) || !truncates) {
    fault("%", std::string(1, type), " format: ", truncates ? "a real number" : "an integer",
          " is required, not ", type_name(value));
  }
  if (!(std::fabs(value.as_real()) < 9.2e18))
    fault("cannot convert float ", real_text(value.as_real()), " to integer");
  return static_cast<int64_t>(value.as_real());
}

std::string percent_character(const Value& value) {
  if (value.is(Type::text) && length_of(value.as_text()) == 1) return value.as_text();
  if (!value.is_integral()) fault("%c requires int or char");
  const int64_t c = value.as_integer();
  if (c < 0 || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) fault("%c arg not in range(0x110000)");
  std::string out;
  utf8_append(out, static_cast<char32_t>(c));
  return out;
}

std::string format_directive(Heap& heap, const Directive& directive, const Value& value) {
  Specification spec;
  spec.width = directive.width;
  spec.align = directive.left ? '<' : '>';
  spec.sign = directive.plus ? '+' : directive.blank ? ' ' : '-';
  switch (directive.type) {
    case 's':
    case 'r':
    case 'a': {
      const std::string text = directive.type == 's' ? printed(heap, value)
                               : directive.type == 'a' && value.is(Type::text)
                                   ? quote(value.as_text(), true)
                                   : represented(heap, value);
      spec.precision = directive.precision;
      return format_text(heap, spec, text);
    }
    case 'c': return padded(heap, spec, "", percent_character(value), '>');
    case 'd':
    case 'i':
    case 'u':
    case 'o':
    case 'x':
    case 'X': {
      const int64_t number = whole_number(value, directive.type);
      const bool hexadecimal = directive.type == 'x' || directive.type == 'X';
      std::string digits = digits_of(magnitude_of(number),
                                     hexadecimal             ? 16
                                     : directive.type == 'o' ? 8
                                                             : 10,
                                     directive.type == 'X');
      const auto shown = static_cast<int64_t>(digits.size());
      if (directive.precision > shown) {
        heap.check_bytes(static_cast<uint64_t>(directive.precision));
        digits.insert(0, static_cast<size_t>(directive.precision - shown), '0');
      }
      std::string sign = sign_of(number < 0, spec.sign);
      if (directive.alternate && hexadecimal) sign += directive.type == 'x' ? "0x" : "0X";
      if (directive.alternate && directive.type == 'o') sign += "0o";
      if (directive.zero && !directive.left) spec.fill = "0", spec.align = '=';
      return padded(heap, spec, sign, digits, '>');
    }
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G': {
      if (value.is(Type::undefined)) fault(value.undefined_reason());
      if (!value.is_number()) fault("must be real number, not ", type_name(value));
      const double number = value.as_real();
      if (directive.zero && !directive.left) spec.fill = "0", spec.align = '=';
      return padded(heap, spec, sign_of(std::signbit(number) && !std::isnan(number), spec.sign),
                    format_real(std::fabs(number), directive.type, directive.precision), '>');
    }
    default: fault("unsupported format character ", quote(std::string(1, directive.type)));
  }
}

}  // namespace

Value format_percent(Heap& heap, const Value& format, const Value& arguments) {
  const std::string_view text = format.as_text();
  heap.step_bytes(text.size());
  PercentArguments values(heap, arguments);
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t sign = std::min(text.find('%', at), text.size());
    out += text.substr(at, sign - at);
    if (sign == text.size()) break;
    at = sign + 1;
    const auto here = [&] {
      if (at >= text.size()) fault("incomplete format");
      return text[at];
    };
    if (here() == '%') {
      out += '%';
      ++at;
      continue;
    }
    Directive directive;
    const Value* value = nullptr;
    if (here() == '(') {
      size_t open = 1, end = at + 1;
      for (; end < text.size() && open > 0; ++end)
        open += text[end] == '(' ? 1 : text[end] == ')' ? -1 : 0;
      if (open > 0) fault("incomplete format key");
      value = &values.named(text.substr(at + 1, end - at - 2));
      at = end;
    }
    for (bool flag = true; flag;) {
      switch (here()) {
        case '-': directive.left = true; break;
        case '+': directive.plus = true; break;
        case ' ': directive.blank = true; break;
        case '#': directive.alternate = true; break;
        case '0': directive.zero = true; break;
        default: flag = false;
      }
      at += flag;
    }
    const auto count = [&](const char* what) {
      if (here() != '*') return parse_count(text, at, what);
      ++at;
      const Value& given = values.next();
      if (!given.is_integral()) fault("* wants int");
      return given.as_integer();
    };
    directive.width = count("the width");
    if (directive.width < 0) directive.left = true, directive.width = -directive.width;
    if (here() == '.') ++at, directive.precision = std::max<int64_t>(count("the precision"), 0);
    if (here() == 'l' || here() == 'h' || here() == 'L') ++at;
    directive.type = here();
    ++at;
    const Value& given = value != nullptr ? *value : values.next();
    std::string piece = format_directive(heap, directive, given);
    const bool text_like = directive.type == 's' || directive.type == 'r' || directive.type == 'a';
    if (format.is_safe_text() && text_like && !given.is_safe_text())
      piece = escape_html(heap, piece);
    out += piece;
    heap.check_bytes(out.size());
  }
  values.finish();
  return heap.text(std::move(out), format.is_safe_text());
}

}  // namespace guerdon::text::jinja
