#include <algorithm>

#include "text/jinja_access.h"
#include "text/jinja_arguments.h"
#include "text/jinja_filters.h"
#include "text/jinja_format.h"
#include "text/jinja_methods.h"
#include "text/jinja_print.h"
#include "text/jinja_unicode.h"
#include "text/jinja_wrap.h"

namespace guerdon::text::jinja {
namespace {

template <std::string (*change)(std::string_view)>
Value changed(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("filter", arguments, {});
  const Value text = as_text_value(heap, input);
  heap.step_bytes(2 * text.as_text().size());
  return like(heap, text, change(text.as_text()));
}

Value string(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("string", arguments, {});
  return as_text_value(heap, input);
}

Value trim(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("trim", arguments, {"chars"});
  const Value text = as_text_value(heap, input);
  heap.step_bytes(text.as_text().size());
  const std::string_view rest = given[0].is(Type::none)
                                    ? strip_space(text.as_text(), Side::both)
                                    : strip_set(text.as_text(), given.text(0), Side::both);
  return rest.size() == text.as_text().size() ? text : like(heap, text, std::string(rest));
}

Value replace(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("replace", arguments, {"old", "new", "count"}, 2);
  return heap.text(replace_text(heap, printed(heap, input), printed(heap, given[0]),
                                printed(heap, given[1]), given.optional_integer(2, -1)));
}

/// Each word (behind a blank, hyphen or opening bracket) begins with a capital.
Value title(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("title", arguments, {});
  const std::string text = printed(heap, input);
  heap.step_bytes(4 * text.size());
  const auto separates = [](char32_t c) {
    return is_space(c) || (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) !=
                                           std::string_view::npos);
  };
  std::string out;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t first = character_bytes(rest);
    if (separates(first_character(rest))) {
      out += rest.substr(0, first);
      rest.remove_prefix(first);
      continue;
    }
    size_t end = first;
    while (end < rest.size() && !separates(first_character(rest.substr(end))))
      end += character_bytes(rest.substr(end));
    out += to_upper(rest.substr(0, first)) + to_lower(rest.substr(first, end - first));
    rest.remove_prefix(end);
  }
  return heap.text(std::move(out));
}

Value center(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("center", arguments, {"width"});
  const Value text = as_text_value(heap, input);
  return like(heap, text, centered(heap, text.as_text(), given.integer(0, 80), " "));
}

Value format(Heap& heap, const Value& input, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    fault("can't handle positional and keyword arguments at the same time");
  }
  const Value text = as_text_value(heap, input);
  if (arguments.named.empty()) return format_percent(heap, text, heap.tuple(arguments.positional));
  const std::shared_ptr<Dict> named = heap.dict();
  for (const auto& [name, value] : arguments.named) named->set(heap, heap.text(name), value);
  return format_percent(heap, text, Heap::value_of(named));
}

Value indent(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("indent", arguments, {"width", "first", "blank"});
  if (input.is(Type::undefined)) fault(input.undefined_reason());
  if (!input.is(Type::text)) fault("indent(): the input must be str, not ", type_name(input));
  std::string indention;
  if (given[0].is(Type::text)) {
    indention = given[0].as_text();
  } else {
    const int64_t width = given.integer(0, 4);
    heap.check_bytes(static_cast<uint64_t>(std::max<int64_t>(width, 0)));
    indention.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool blank = given.flag(heap, 2, false);
  const std::string text =
      input.as_text() + "\n";  // so that the last line counts even when it is empty
  std::string out = given.flag(heap, 1, false) ? indention : "";
  bool first = true;
  for (const std::string_view line : split_lines(heap, text, false)) {
    if (!first) out += '\n';
    if (!first && (blank || !line.empty())) out += indention;
    out += line;
    heap.step_bytes(indention.size());
    heap.check_bytes(out.size());
    first = false;
  }
  return like(heap, input, std::move(out));
}

Value truncate(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const int64_t length = given.integer(0, 255), leeway = given.optional_integer(3, 5);
  const std::string_view end = given.text(2, "...");
  const int64_t end_length = length_of(end);
  if (length < end_length) fault("expected length >= ", end_length, ", got ", length);
  if (leeway < 0) fault("expected leeway >= 0, got ", leeway);
  if (length_of_value(heap, input) - leeway <= length) return input;
  if (!input.is(Type::text)) fault("truncate(): the input must be str, not ", type_name(input));
  const std::string_view text = input.as_text();
  std::string_view kept = text.substr(0, byte_of(text, length - end_length));
  if (!given.flag(heap, 1, false)) kept = kept.substr(0, std::min(kept.rfind(' '), kept.size()));
  return like(heap, input, std::string(kept) + std::string(end));
}

Value wordcount(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("wordcount", arguments, {});
  const std::string text = printed(heap, input);
  heap.step_bytes(8 * text.size());
  int64_t count = 0;
  bool in_word = false;
  for (const char32_t c : decode(text)) {
    const bool word = is_alphanumeric(c) || c == '_';
    count += word && !in_word;
    in_word = word;
  }
  return Value::integer(count);
}

Value wordwrap(Heap& heap, const Value& input, const Arguments& arguments) {
  const Parameters given("wordwrap", arguments,
                         {"width", "break_long_words", "wrapstring", "break_on_hyphens"});
  if (input.is(Type::undefined)) fault(input.undefined_reason());
  if (!input.is(Type::text)) fault("wordwrap(): the input must be str, not ", type_name(input));
  WrapStyle style;
  style.width = given.integer(0, 79);
  style.break_long_words = given.flag(heap, 1, true);
  style.break_on_hyphens = given.flag(heap, 3, true);
  const std::string_view separator = given.optional_text(2, "\n");
  std::string out;
  bool first = true;
  for (const std::string_view paragraph : split_lines(heap, input.as_text(), false)) {
    if (!first) out += separator;
    first = false;
    bool first_line = true;
    for (const std::string& line : wrap(heap, paragraph, style)) {
      if (!first_line) out += separator;
      first_line = false;
      out += line;
      heap.step_bytes(line.size() + separator.size());
      heap.check_bytes(out.size());
    }
  }
  return heap.text(std::move(out));
}

Value pprint(Heap& heap, const Value& input, const Arguments& arguments) {
  Parameters("pprint", arguments, {});
  return heap.text(pretty(heap, input));
}

}  // namespace

std::vector<NamedFilter> text_filters() {
  return {{"capitalize", changed<to_capitalized>},
          {"center", center},
          {"format", format},
          {"indent", indent},
          {"lower", changed<to_lower>},
          {"pprint", pprint},
          {"replace", replace},
          {"string", string},
          {"title", title},
          {"trim", trim},
          {"truncate", truncate},
          {"upper", changed<to_upper>},
          {"wordcount", wordcount},
          {"wordwrap", wordwrap}};
}

}  // namespace guerdon::text::jinja
