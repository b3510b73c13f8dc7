#include <algorithm>
#include <functional>
#include <unordered_map>

#include "text/jinja_access.h"
#include "text/jinja_arguments.h"
#include "text/jinja_format.h"
#include "text/jinja_methods.h"
#include "text/jinja_print.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {

namespace {

// ---- change

template <std::string (*change)(std::string_view)>
Value changed(Heap& heap, const Value& self, const Arguments& arguments) {
  Parameters("text method", arguments, {});
  heap.step_bytes(2 * self.as_text().size());
  return like(heap, self, change(self.as_text()));
}

template <Side side>
Value stripped(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("strip", arguments, {""});
  heap.step_bytes(self.as_text().size());
  const std::string_view text = self.as_text();
  const std::string_view rest =
      given[0].is(Type::none) ? strip_space(text, side) : strip_set(text, given.text(0), side);
  return rest.size() == text.size() ? self : like(heap, self, std::string(rest));
}

template <bool left_fill, bool right_fill>
Value justified(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("justify", arguments, {"", ""}, 1);
  const int64_t width = given.integer(0, 0);
  const std::string_view fill = given.text(1, " ");
  if (left_fill && right_fill) return like(heap, self, centered(heap, self.as_text(), width, fill));
  const std::string filling = filled(heap, fill, width - length_of(self.as_text()));
  return like(heap, self, left_fill ? filling + self.as_text() : self.as_text() + filling);
}

Value zfill(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("zfill", arguments, {""}, 1);
  const std::string& text = self.as_text();
  const std::string zeros = filled(heap, "0", given.integer(0, 0) - length_of(text));
  const size_t sign = text.starts_with('+') || text.starts_with('-');
  return like(heap, self, text.substr(0, sign) + zeros + text.substr(sign));
}

Value expandtabs(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("expandtabs", arguments, {"tabsize"});
  const int64_t size = given.integer(0, 8);
  std::string out;
  int64_t column = 0;
  for (std::string_view text = self.as_text(); !text.empty();
       text.remove_prefix(character_bytes(text))) {
    const char32_t c = first_character(text);
    if (c == '\t') {
      const int64_t width = size > 0 ? size - column % size : 0;
      out += filled(heap, " ", width);
      column += width;
      heap.check_bytes(out.size());
    } else {
      out += text.substr(0, character_bytes(text));
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
  }
  return like(heap, self, std::move(out));
}

Value replaced(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("replace", arguments, {"", "", ""}, 2);
  std::string fresh(given.text(1));
  if (self.is_safe_text() && !given[1].is_safe_text()) fresh = escape_html(heap, fresh);
  return like(heap, self,
              replace_text(heap, self.as_text(), given.text(0), fresh, given.integer(2, -1)));
}

template <bool prefix>
Value without_affix(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("remove", arguments, {""}, 1);
  const std::string_view text = self.as_text(), affix = given.text(0);
  const bool there = prefix ? text.starts_with(affix) : text.ends_with(affix);
  if (!there || affix.empty()) return self;
  return like(heap, self,
              std::string(text.substr(prefix ? affix.size() : 0, text.size() - affix.size())));
}

Value joined(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("join", arguments, {""}, 1);
  return join_texts(heap, self, given[0]);
}

Value formatted(Heap& heap, const Value& self, const Arguments& arguments) {
  return format_braces(heap, self, arguments);
}

Value formatted_map(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("format_map", arguments, {""}, 1);
  if (!given[0].is(Type::dict)) fault("format_map() needs a mapping, not ", type_name(given[0]));
  Arguments named;
  for (const auto& [key, value] : given[0].dict().entries()) {
    if (key.is(Type::text)) named.named.emplace_back(key.as_text(), value);
  }
  return format_braces(heap, self, named);
}

// ---- search

/// text[start:stop] of `find`, `count`, `startswith`: nullopt when it begins behind the end.
struct Window {
  std::string_view text;
  size_t begin;  ///< byte
};
std::optional<Window> window(const Value& self, const Parameters& given, size_t first) {
  const std::string_view text = self.as_text();
  if (!given.has(first) && !given.has(first + 1)) return Window{text, 0};
  const int64_t length = length_of(text);
  int64_t start = given.optional_integer(first, 0);
  int64_t stop = given.optional_integer(first + 1, length);
  if (start < 0) start = std::max<int64_t>(start + length, 0);
  if (stop < 0) stop = std::max<int64_t>(stop + length, 0);
  stop = std::min(stop, length);
  if (start > stop) return std::nullopt;
  const size_t begin = byte_of(text, start);
  return Window{text.substr(begin, byte_of(text.substr(begin), stop - start)), begin};
}

template <bool last>
std::optional<int64_t> place_of(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("find", arguments, {"", "", ""}, 1);
  heap.step_bytes(6 * (self.as_text().size() + given.text(0).size()));
  const std::optional<Window> inside = window(self, given, 1);
  if (!inside) return std::nullopt;
  const size_t found =
      last ? find_last_text(inside->text, given.text(0)) : find_text(inside->text, given.text(0));
  if (found == std::string_view::npos) return std::nullopt;
  return index_of_byte(self.as_text(), inside->begin + found);
}

template <bool last>
Value find(Heap& heap, const Value& self, const Arguments& arguments) {
  return Value::integer(place_of<last>(heap, self, arguments).value_or(-1));
}

template <bool last>
Value index(Heap& heap, const Value& self, const Arguments& arguments) {
  const std::optional<int64_t> place = place_of<last>(heap, self, arguments);
  if (!place) fault("substring not found");
  return Value::integer(*place);
}

Value count(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("count", arguments, {"", "", ""}, 1);
  heap.step_bytes(self.as_text().size());
  const std::string_view needle = given.text(0);
  const std::optional<Window> inside = window(self, given, 1);
  if (!inside) return Value::integer(0);
  if (needle.empty()) return Value::integer(length_of(inside->text) + 1);
  int64_t found = 0;
  for (size_t at = 0; (at = find_text(inside->text, needle, at)) != std::string_view::npos;
       at += needle.size()) {
    ++found;
  }
  return Value::integer(found);
}

template <bool prefix>
Value has_affix(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given(prefix ? "startswith" : "endswith", arguments, {"", "", ""}, 1);
  heap.step();
  const std::optional<Window> inside = window(self, given, 1);
  const auto there = [&](const Value& affix) {
    if (!affix.is(Type::text)) {
      fault(prefix ? "startswith" : "endswith", " first arg must be str or a tuple of str, not ",
            type_name(affix));
    }
    if (!inside) return false;
    return prefix ? inside->text.starts_with(affix.as_text())
                  : inside->text.ends_with(affix.as_text());
  };
  if (!given[0].is(Type::tuple)) return Value::boolean(there(given[0]));
  const std::vector<Value>& affixes = given[0].items();
  return Value::boolean(std::any_of(affixes.begin(), affixes.end(), there));
}

// ---- split

/// As split_space, from the right; the pieces come in reverse.
std::vector<std::string_view> split_space_right(Heap& heap, std::string_view text, int64_t most) {
  std::vector<std::string_view> pieces;
  for (text = strip_space(text, Side::right); !text.empty();
       text = strip_space(text, Side::right)) {
    if (most >= 0 && static_cast<int64_t>(pieces.size()) == most) {
      add_piece(heap, pieces, text);
      break;
    }
    size_t begin = text.size();
    while (begin > 0) {
      size_t previous = begin - 1;
      while (previous > 0 && (static_cast<unsigned char>(text[previous]) & 0xC0) == 0x80)
        --previous;
      if (is_space(first_character(text.substr(previous)))) break;
      begin = previous;
    }
    add_piece(heap, pieces, text.substr(begin));
    text.remove_suffix(text.size() - begin);
  }
  return pieces;
}

Value pieces_to_list(Heap& heap, const Value& self, const std::vector<std::string_view>& pieces) {
  heap.check_items(pieces.size());
  std::vector<Value> out;
  out.reserve(pieces.size());
  for (const std::string_view piece : pieces) out.push_back(like(heap, self, std::string(piece)));
  return heap.list(std::move(out));
}

template <bool right>
Value split(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("split", arguments, {"sep", "maxsplit"});
  heap.step_bytes(self.as_text().size());
  std::string_view text = self.as_text();
  const int64_t most = given.integer(1, -1);
  std::vector<std::string_view> pieces;
  if (given[0].is(Type::none)) {
    pieces = right ? split_space_right(heap, text, most) : split_space(heap, text, most);
    if (right) std::reverse(pieces.begin(), pieces.end());
    return pieces_to_list(heap, self, pieces);
  }
  const std::string_view separator = given.text(0);
  if (separator.empty()) fault("empty separator");
  if (!right) {
    size_t begin = 0;
    while (most < 0 || static_cast<int64_t>(pieces.size()) < most) {
      const size_t found = find_text(text, separator, begin);
      if (found == std::string_view::npos) break;
      add_piece(heap, pieces, text.substr(begin, found - begin));
      begin = found + separator.size();
    }
    add_piece(heap, pieces, text.substr(begin));
    return pieces_to_list(heap, self, pieces);
  }
  // From the right the cuts fall elsewhere when the separator overlaps itself ("aaa" by "aa").
  const std::string mirrored(text.rbegin(), text.rend()),
      mirrored_separator(separator.rbegin(), separator.rend());
  size_t end = text.size();
  while (most < 0 || static_cast<int64_t>(pieces.size()) < most) {
    const size_t found = find_text(mirrored, mirrored_separator, text.size() - end);
    if (found == std::string_view::npos) break;
    const size_t at = text.size() - found - separator.size();
    add_piece(heap, pieces, text.substr(at + separator.size(), end - at - separator.size()));
    end = at;
  }
  add_piece(heap, pieces, text.substr(0, end));
  std::reverse(pieces.begin(), pieces.end());
  return pieces_to_list(heap, self, pieces);
}

Value splitlines(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("splitlines", arguments, {"keepends"});
  return pieces_to_list(heap, self, split_lines(heap, self.as_text(), given.flag(heap, 0, false)));
}

template <bool last>
Value partition(Heap& heap, const Value& self, const Arguments& arguments) {
  const Parameters given("partition", arguments, {""}, 1);
  const std::string& text = self.as_text();
  const std::string_view separator = given.text(0);
  if (separator.empty()) fault("empty separator");
  heap.step_bytes(2 * text.size());
  const size_t found = last ? find_last_text(text, separator) : find_text(text, separator);
  const auto part = [&](std::string_view piece) { return like(heap, self, std::string(piece)); };
  if (found == std::string_view::npos) {
    return heap.tuple(last ? std::vector{part(""), part(""), self}
                           : std::vector{self, part(""), part("")});
  }
  const std::string_view view = text;
  return heap.tuple(
      {part(view.substr(0, found)), part(separator), part(view.substr(found + separator.size()))});
}

// ---- ask

template <bool (*property)(char32_t)>
Value all_are(Heap& heap, const Value& self, const Arguments& arguments) {
  Parameters("text method", arguments, {});
  heap.step_bytes(8 * self.as_text().size());
  const std::u32string text = decode(self.as_text());
  return Value::boolean(!text.empty() && std::all_of(text.begin(), text.end(), property));
}

bool printable_or_none(std::string_view text) {
  const std::u32string decoded = decode(text);
  return std::all_of(decoded.begin(), decoded.end(), is_printable);
}

/// Some letter has a case, and each that has is of this one.
template <bool (*wanted)(char32_t), bool (*other)(char32_t)>
bool of_case(std::string_view text) {
  bool found = false;
  for (const char32_t c : decode(text)) {
    if (other(c) || is_title(c)) return false;
    found |= wanted(c);
  }
  return found;
}

bool titled(std::string_view text) {
  bool found = false, in_word = false;
  for (const char32_t c : decode(text)) {
    const bool capital = is_upper(c) || is_title(c);
    if (capital && in_word) return false;
    if (!capital && is_lower(c) && !in_word) return false;
    in_word = capital || is_lower(c);
    found |= in_word;
  }
  return found;
}

template <bool (*property)(std::string_view)>
Value whole_is(Heap& heap, const Value& self, const Arguments& arguments) {
  Parameters("text method", arguments, {});
  heap.step_bytes(8 * self.as_text().size());
  return Value::boolean(property(self.as_text()));
}

Value unsupported(Heap&, const Value&, const Arguments&) {
  fault("encode(), translate() and maketrans() are not available in chat templates");
}

}  // namespace

MethodFunction find_text_method(std::string_view name) {
  static const std::unordered_map<std::string_view, MethodFunction> methods = {
      {"capitalize", changed<to_capitalized>},
      {"casefold", changed<fold_case>},
      {"center", justified<true, true>},
      {"count", count},
      {"encode", unsupported},
      {"endswith", has_affix<false>},
      {"expandtabs", expandtabs},
      {"find", find<false>},
      {"format", formatted},
      {"format_map", formatted_map},
      {"index", index<false>},
      {"isalnum", all_are<is_alphanumeric>},
      {"isalpha", all_are<is_alphabetic>},
      {"isascii", whole_is<is_ascii>},
      {"isdecimal", all_are<is_decimal>},
      {"isdigit", all_are<is_digit>},
      {"isidentifier", whole_is<is_identifier>},
      {"islower", whole_is<of_case<is_lower, is_upper>>},
      {"isnumeric", all_are<is_numeric>},
      {"isprintable", whole_is<printable_or_none>},
      {"isspace", all_are<is_space>},
      {"istitle", whole_is<titled>},
      {"isupper", whole_is<of_case<is_upper, is_lower>>},
      {"join", joined},
      {"ljust", justified<false, true>},
      {"lower", changed<to_lower>},
      {"lstrip", stripped<Side::left>},
      {"maketrans", unsupported},
      {"partition", partition<false>},
      {"removeprefix", without_affix<true>},
      {"removesuffix", without_affix<false>},
      {"replace", replaced},
      {"rfind", find<true>},
      {"rindex", index<true>},
      {"rjust", justified<true, false>},
      {"rpartition", partition<true>},
      {"rsplit", split<true>},
      {"rstrip", stripped<Side::right>},
      {"split", split<false>},
      {"splitlines", splitlines},
      {"startswith", has_affix<true>},
      {"strip", stripped<Side::both>},
      {"swapcase", changed<swap_case>},
      {"title", changed<to_title>},
      {"translate", unsupported},
      {"upper", changed<to_upper>},
      {"zfill", zfill},
  };
  const auto found = methods.find(name);
  return found == methods.end() ? nullptr : found->second;
}

}  // namespace guerdon::text::jinja
