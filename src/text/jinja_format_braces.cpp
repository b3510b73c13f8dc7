#include <algorithm>

#include "text/jinja_access.h"
#include "text/jinja_format.h"
#include "text/jinja_operations.h"
#include "text/jinja_print.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {

namespace {

class BracesFormatter {
 public:
  BracesFormatter(Heap& heap, const Arguments& arguments, bool safe)
      : heap_(heap), arguments_(arguments), safe_(safe) {}

  std::string format(std::string_view text, int nesting) {
    if (nesting < 0) fault("Max string recursion exceeded");
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const char c = text[at];
      if (c != '{' && c != '}') {
        const size_t end = std::min(text.find_first_of("{}", at), text.size());
        out += text.substr(at, end - at);
        at = end;
      } else if (at + 1 < text.size() && text[at + 1] == c) {
        out += c;
        at += 2;
      } else if (c == '}') {
        fault("Single '}' encountered in format string");
      } else {
        out += field(text, ++at, nesting);
      }
      heap_.check_bytes(out.size());
    }
    return out;
  }

 private:
  /// A replacement field whose brace has been read; leaves `at` behind its end.
  std::string field(std::string_view text, size_t& at, int nesting) {
    const size_t begin = at;
    size_t open = 1, brackets = 0;
    std::string_view inner;
    for (;; ++at) {
      if (at >= text.size())
        fault(begin == at ? "Single '{' encountered in format string"
                          : "expected '}' before end of string");
      brackets += text[at] == '[' ? 1 : text[at] == ']' && brackets > 0 ? -1 : 0;
      open += text[at] == '{' ? 1 : text[at] == '}' ? -1 : 0;
      if (open == 0) break;
    }
    inner = text.substr(begin, at - begin);
    ++at;

    const size_t end_of_name = name_end(inner);
    const std::string_view name = inner.substr(0, end_of_name);
    char conversion = 0;
    std::string_view rest = inner.substr(end_of_name);
    if (rest.starts_with('!')) {
      if (rest.size() < 2) fault("end of string while looking for conversion specifier");
      conversion = rest[1];
      rest.remove_prefix(2);
      if (!rest.empty() && rest[0] != ':') fault("expected ':' after conversion specifier");
    }
    if (!rest.empty()) rest.remove_prefix(1);

    Value value = look_up(name);
    const std::string specification = format(rest, nesting - 1);
    if (conversion == 'r') {
      value = heap_.text(represented(heap_, value));
    } else if (conversion == 's') {
      value = heap_.text(printed(heap_, value));
    } else if (conversion == 'a') {
      value = heap_.text(value.is(Type::text) ? quote(value.as_text(), true)
                                              : represented(heap_, value));
    } else if (conversion != 0) {
      fault("Unknown conversion specifier ", std::string(1, conversion));
    }
    std::string piece = format_value(heap_, value, specification);
    return safe_ && !value.is_safe_text() ? escape_html(heap_, piece) : piece;
  }

  /// The name goes up to a '!' or ':' outside brackets.
  static size_t name_end(std::string_view inner) {
    bool bracket = false;
    for (size_t i = 0; i < inner.size(); ++i) {
      if (inner[i] == '[') bracket = true;
      if (inner[i] == ']') bracket = false;
      if (!bracket && (inner[i] == '!' || inner[i] == ':')) return i;
    }
    return inner.size();
  }

  static bool all_digits(std::string_view text) {
    return !text.empty() && text.size() < 10 &&
           text.find_first_not_of("0123456789") == std::string_view::npos;
  }

  Value first_value(std::string_view name) {
    if (name.empty() || all_digits(name)) {
      if (numbering_ == (name.empty() ? 'm' : 'a')) {
        fault("cannot switch between manual field specification and automatic field numbering");
      }
      numbering_ = name.empty() ? 'a' : 'm';
      const size_t index =
          name.empty() ? next_++ : static_cast<size_t>(std::stoul(std::string(name)));
      if (index >= arguments_.positional.size()) {
        fault("Replacement index ", index, " out of range for positional args tuple");
      }
      return arguments_.positional[index];
    }
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    fault("no argument ", quote(name), " for the format string");
  }

  Value look_up(std::string_view name) {
    size_t at = std::min(name.find_first_of(".["), name.size());
    Value value = first_value(name.substr(0, at));
    while (at < name.size()) {
      if (name[at] == '.') {
        const size_t end = std::min(name.find_first_of(".[", at + 1), name.size());
        if (end == at + 1) fault("Empty attribute in format string");
        value = attribute(heap_, value, name.substr(at + 1, end - at - 1));
        at = end;
      } else if (name[at] == '[') {
        const size_t end = name.find(']', at);
        if (end == std::string_view::npos) fault("Missing ']' in format string");
        const std::string_view index = name.substr(at + 1, end - at - 1);
        if (index.empty()) fault("Empty attribute in format string");
        value = item(heap_, value,
                     all_digits(index) ? Value::integer(std::stoll(std::string(index)))
                                       : heap_.text(std::string(index)));
        at = end + 1;
      } else {
        fault("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  Heap& heap_;
  const Arguments& arguments_;
  const bool safe_;
  size_t next_ = 0;
  char numbering_ = 0;  ///< a: "{}", m: "{0}"
};

}  // namespace

Value format_braces(Heap& heap, const Value& format, const Arguments& arguments) {
  heap.step_bytes(format.as_text().size());
  constexpr int kNesting = 2;  // as deep as the fields inside specifications go in Python
  BracesFormatter formatter(heap, arguments, format.is_safe_text());
  return heap.text(formatter.format(format.as_text(), kNesting), format.is_safe_text());
}

}  // namespace guerdon::text::jinja
