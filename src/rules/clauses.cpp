#include "guerdon/rules/clauses.h"

#include <algorithm>
#include <array>

namespace guerdon::rules {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

// Ideographic comma and full stop; full-width comma, exclamation mark, question mark, semicolon and
// colon; Devanagari danda; Arabic comma and question mark. In UTF-8.
constexpr std::array<std::string_view, 10> kWideMarks = {
    "\xE3\x80\x81", "\xE3\x80\x82", "\xEF\xBC\x8C", "\xEF\xBC\x81", "\xEF\xBC\x9F",
    "\xEF\xBC\x9B", "\xEF\xBC\x9A", "\xE0\xA5\xA4", "\xD8\x8C",     "\xD8\x9F"};

/// Bytes of a mark that cuts at the beginning of `rest`; 0 when there is none.
size_t mark_length(std::string_view rest) {
  if (rest[0] == '\n') return 1;
  if (std::string_view(".,;:!?").find(rest[0]) != std::string_view::npos) {
    // Another mark, white space, or the end: otherwise it stands inside a word.
    const bool pauses = rest.size() == 1 || std::string_view(" \t\r\n.,;:!?\"')]}").find(rest[1]) !=
                                                std::string_view::npos;
    return pauses ? 1 : 0;
  }
  for (const std::string_view mark : kWideMarks) {
    if (rest.starts_with(mark)) return mark.size();
  }
  return 0;
}

}  // namespace

std::vector<std::string_view> clauses(std::string_view text) {
  std::vector<std::string_view> out;
  const auto add = [&](std::string_view clause) {
    const size_t begin = clause.find_first_not_of(kSpaces);
    if (begin == std::string_view::npos) return;
    out.push_back(clause.substr(begin, clause.find_last_not_of(kSpaces) + 1 - begin));
  };
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t mark = mark_length(text.substr(at));
    if (mark > 0) {
      add(text.substr(begin, at - begin));
      begin = at + mark;
    }
    at += std::max<size_t>(mark, 1);
  }
  add(text.substr(begin));
  return out;
}

}  // namespace guerdon::rules
