#include <algorithm>

#include "text/jinja_access.h"
#include "text/jinja_methods.h"
#include "text/jinja_operations.h"
#include "text/jinja_print.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {

Value like(Heap& heap, const Value& self, std::string text) {
  return heap.text(std::move(text), self.is_safe_text());
}

std::string replace_text(Heap& heap, std::string_view text, std::string_view old,
                         std::string_view fresh, int64_t count) {
  heap.step_bytes(text.size());
  std::string out;
  size_t at = 0;
  while (count != 0) {
    size_t found = old.empty() ? at : find_text(text, old, at);
    if (found == std::string_view::npos) break;
    out += text.substr(at, found - at);
    out += fresh;
    heap.step();
    heap.check_bytes(out.size());
    at = found + old.size();
    --count;
    if (old.empty()) {
      if (at == text.size()) return out;
      const size_t bytes = character_bytes(text.substr(at));
      out += text.substr(at, bytes);
      at += bytes;
    }
  }
  out += text.substr(at);
  heap.check_bytes(out.size());
  return out;
}

Value join_texts(Heap& heap, const Value& separator, const Value& values) {
  const bool safe = separator.is_safe_text();
  std::string out;
  Iteration walk(heap, values);
  int64_t count = 0;
  for (Value value; walk.next(value); ++count) {
    if (!value.is(Type::text) && !safe) {
      fault("sequence item ", count, ": expected str instance, ", type_name(value), " found");
    }
    if (count > 0) out += separator.as_text();
    if (safe && !value.is_safe_text()) {
      out += escape_html(heap, printed(heap, value));
    } else {
      print(heap, out, value);
    }
    heap.step_bytes(separator.as_text().size());
    heap.check_bytes(out.size());
  }
  return like(heap, separator, std::move(out));
}

std::string filled(Heap& heap, std::string_view fill, int64_t count) {
  if (length_of(fill) != 1) fault("The fill character must be exactly one character long");
  if (count <= 0) return {};
  heap.check_bytes(static_cast<uint64_t>(count) * fill.size());
  std::string out;
  for (int64_t i = 0; i < count; ++i) out += fill;
  return out;
}

std::string centered(Heap& heap, std::string_view text, int64_t width, std::string_view fill) {
  const int64_t missing = std::max<int64_t>(width - length_of(text), 0);
  const int64_t left = missing / 2 + (missing & width & 1);
  return filled(heap, fill, left) + std::string(text) + filled(heap, fill, missing - left);
}

void add_piece(Heap& heap, std::vector<std::string_view>& pieces, std::string_view piece) {
  heap.check_items(pieces.size() + 1, 1);
  pieces.push_back(piece);
}

std::vector<std::string_view> split_lines(Heap& heap, std::string_view text, bool keep_ends) {
  heap.step_bytes(text.size());
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = first_character(text.substr(at));
    size_t end = at + character_bytes(text.substr(at));
    if (ends_line(c)) {
      if (c == '\r' && end < text.size() && text[end] == '\n') ++end;
      add_piece(heap, lines, text.substr(begin, (keep_ends ? end : at) - begin));
      begin = end;
    }
    at = end;
  }
  if (begin < text.size()) add_piece(heap, lines, text.substr(begin));
  return lines;
}

std::vector<std::string_view> split_space(Heap& heap, std::string_view text, int64_t most) {
  std::vector<std::string_view> pieces;
  for (text = strip_space(text, Side::left); !text.empty(); text = strip_space(text, Side::left)) {
    if (most >= 0 && static_cast<int64_t>(pieces.size()) == most) {
      add_piece(heap, pieces, text);
      break;
    }
    size_t end = 0;
    while (end < text.size() && !is_space(first_character(text.substr(end))))
      end += character_bytes(text.substr(end));
    add_piece(heap, pieces, text.substr(0, end));
    text.remove_prefix(end);
  }
  return pieces;
}

}  // namespace guerdon::text::jinja
