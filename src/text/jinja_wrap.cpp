#include "text/jinja_wrap.h"

#include <algorithm>

#include "guerdon/base/utf8.h"
#include "text/jinja_methods.h"
#include "text/jinja_operations.h"
#include "text/jinja_print.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {
namespace {

bool is_blank(char32_t c) { return c == ' ' || (c >= 0x09 && c <= 0x0D); }
bool is_word(char32_t c) { return is_alphanumeric(c) || c == '_'; }
bool is_letter(char32_t c) { return is_word(c) && !is_decimal(c); }
bool is_word_or_mark(char32_t c) {
  return is_word(c) || (c < 0x80 && std::string_view("!\"'&.,?").find(static_cast<char>(c)) !=
                                        std::string_view::npos);
}

std::string encoded(std::u32string_view text) {
  std::string out;
  for (const char32_t c : text) utf8_append(out, c);
  return out;
}

/// Where the piece that begins at `begin` (not a blank) ends: at a blank, behind the hyphen of a
/// compound word, or around a dash of several hyphens.
size_t end_of_piece(std::u32string_view text, size_t begin, bool at_hyphens) {
  const auto in = [&](size_t i, bool (*property)(char32_t)) {
    return i < text.size() && property(text[i]);
  };
  const auto dashes = [&](size_t i) {
    size_t count = 0;
    while (i + count < text.size() && text[i + count] == '-') ++count;
    return count;
  };
  if (at_hyphens && begin > 0 && is_word_or_mark(text[begin - 1])) {
    const size_t dash = dashes(begin);
    if (dash >= 2 && in(begin + dash, is_word)) return begin + dash;
  }
  for (size_t i = begin; i < text.size(); ++i) {
    if (is_blank(text[i])) return i;
    if (!at_hyphens || i == begin) continue;
    // Behind "ab-" or "a-b-", when a letter and another, or "x-y", follows.
    if (text[i - 1] == '-' && i >= begin + 2) {
      const bool two_letters = i >= 3 && is_letter(text[i - 2]) && is_letter(text[i - 3]);
      const bool letter_hyphen =
          i >= 4 && is_word_or_mark(text[i - 2]) && text[i - 3] == '-' && is_letter(text[i - 4]);
      const bool follows =
          in(i, is_letter) && (in(i + 1, is_letter) ||
                               (i + 1 < text.size() && text[i + 1] == '-' && in(i + 2, is_letter)));
      if ((two_letters || letter_hyphen) && follows) return i;
    }
    const size_t dash = dashes(i);
    if (dash >= 2 && is_word_or_mark(text[i - 1]) && in(i + dash, is_word)) return i;
  }
  return text.size();
}

}  // namespace

std::vector<std::string> wrap(Heap& heap, std::string_view paragraph, const WrapStyle& style) {
  if (style.width <= 0) fault("invalid width ", style.width, " (must be > 0)");
  const auto width = static_cast<size_t>(style.width);
  heap.step_bytes(16 * paragraph.size());
  const std::u32string text = decode(paragraph);

  std::vector<std::u32string> pieces;  // in reverse, so that the next one is the last
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && is_blank(text[end])) ++end;
    if (end == at) end = end_of_piece(text, at, style.break_on_hyphens);
    heap.check_items(pieces.size() + 1, 1);
    pieces.push_back(text.substr(at, end - at));
    at = end;
  }
  std::reverse(pieces.begin(), pieces.end());
  const auto all_blank = [](const std::u32string& piece) {
    return std::all_of(piece.begin(), piece.end(), is_space);
  };

  std::vector<std::string> lines;
  while (!pieces.empty()) {
    heap.check_items(lines.size() + 1, 1);
    std::vector<std::u32string> line;
    size_t length = 0;
    if (!lines.empty() && all_blank(pieces.back())) pieces.pop_back();
    while (!pieces.empty() && length + pieces.back().size() <= width) {
      length += pieces.back().size();
      line.push_back(std::move(pieces.back()));
      pieces.pop_back();
    }
    if (!pieces.empty() && pieces.back().size() > width) {
      if (style.break_long_words) {
        std::u32string& piece = pieces.back();
        size_t cut = width - length;  // 0: an empty piece, which keeps a blank before it
        if (style.break_on_hyphens && cut > 0 && piece.size() > cut) {
          const size_t hyphen = piece.rfind('-', cut - 1);
          const bool inside = hyphen != std::u32string::npos && hyphen > 0;
          if (inside && piece.find_first_not_of('-') < hyphen) cut = hyphen + 1;
        }
        heap.step_bytes(4 * piece.size());
        line.push_back(piece.substr(0, cut));
        piece.erase(0, cut);
        if (piece.empty()) pieces.pop_back();
      } else if (line.empty()) {
        line.push_back(std::move(pieces.back()));
        pieces.pop_back();
      }
    }
    if (!line.empty() && all_blank(line.back())) line.pop_back();
    if (line.empty()) continue;
    std::string joined;
    for (const std::u32string& piece : line) joined += encoded(piece);
    lines.push_back(std::move(joined));
  }
  return lines;
}

// ---- pprint

namespace {

constexpr size_t kPageWidth = 80;

/// Keys in order where they have one; else by the names of their types, as pprint does.
std::vector<const Dict::Entry*> sorted_entries(Heap& heap, const Dict& dict) {
  std::vector<const Dict::Entry*> entries;
  for (const Dict::Entry& entry : dict.entries()) entries.push_back(&entry);
  std::stable_sort(entries.begin(), entries.end(), [&](const Dict::Entry* a, const Dict::Entry* b) {
    const bool comparable =
        a->first.type() == b->first.type() || (a->first.is_number() && b->first.is_number());
    if (!comparable || a->first.is(Type::none)) return type_name(a->first) < type_name(b->first);
    return less(heap, a->first, b->first);
  });
  return entries;
}

class PrettyPrinter {
 public:
  explicit PrettyPrinter(Heap& heap) : heap_(heap) {}

  /// `indent` columns stand to the left, `allowance` characters will follow on the last line.
  void print(const Value& value, size_t indent, size_t allowance) {
    const std::string line = one_line(value);
    const bool fits = static_cast<size_t>(length_of(line)) + indent + allowance <= kPageWidth;
    const bool container = value.is_sequence() || value.is(Type::dict);
    if (fits || (!container && !value.is(Type::text))) {
      out_ += line;
    } else if (value.is(Type::text)) {
      print_text(value.as_text(), indent, allowance);
    } else if (value.is(Type::dict)) {
      print_dict(value.dict(), indent, allowance);
    } else {
      print_items(value, indent, allowance);
    }
    heap_.check_bytes(out_.size());
  }

  std::string take() { return std::move(out_); }

 private:
  /// repr() with sorted keys.
  std::string one_line(const Value& value) {
    heap_.step();
    if (value.is(Type::dict)) {
      std::string out = "{";
      for (const Dict::Entry* entry : sorted_entries(heap_, value.dict())) {
        if (out.size() > 1) out += ", ";
        out += one_line(entry->first) + ": " + one_line(entry->second);
        heap_.check_bytes(out.size());
      }
      return out + "}";
    }
    if (value.is_sequence()) {
      std::string out = value.is(Type::list) ? "[" : "(";
      for (const Value& item : value.items()) {
        if (out.size() > 1) out += ", ";
        out += one_line(item);
        heap_.check_bytes(out.size());
      }
      if (value.is(Type::tuple) && value.items().size() == 1) out += ",";
      return out + (value.is(Type::list) ? "]" : ")");
    }
    return represented(heap_, value);
  }

  void new_line(size_t indent) {
    out_ += '\n';
    out_.append(indent, ' ');
  }

  void print_items(const Value& value, size_t indent, size_t allowance) {
    const bool list = value.is(Type::list), alone = !list && value.items().size() == 1;
    out_ += list ? "[" : "(";
    for (size_t i = 0; i < value.items().size(); ++i) {
      if (i > 0) out_ += ',', new_line(indent + 1);
      const bool last = i + 1 == value.items().size();
      print(value.items()[i], indent + 1, last ? allowance + 1 + alone : 1);
    }
    out_ += alone ? ",)" : list ? "]" : ")";
  }

  void print_dict(const Dict& dict, size_t indent, size_t allowance) {
    out_ += '{';
    const std::vector<const Dict::Entry*> entries = sorted_entries(heap_, dict);
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += ',', new_line(indent + 1);
      const std::string key = one_line(entries[i]->first);
      out_ += key + ": ";
      const bool last = i + 1 == entries.size();
      print(entries[i]->second, indent + static_cast<size_t>(length_of(key)) + 3,
            last ? allowance + 1 : 1);
    }
    out_ += '}';
  }

  /// A long text: pieces of it in quotes, one below the other.
  void print_text(const std::string& text, size_t indent, size_t allowance) {
    const bool outermost = indent == 0;
    if (outermost) ++indent, ++allowance;
    std::vector<std::string> pieces;
    const std::vector<std::string_view> lines = split_lines(heap_, text, /*keep_ends=*/true);
    for (size_t i = 0; i < lines.size(); ++i) {
      const bool last = i + 1 == lines.size();
      const auto room = [&](size_t behind) {
        return indent + behind < kPageWidth ? kPageWidth - indent - behind : 1;
      };
      const size_t width = room(last ? allowance : 0);
      if (static_cast<size_t>(length_of(quote(lines[i]))) <= width) {
        pieces.push_back(quote(lines[i]));
        continue;
      }
      std::string held;  // words that fit together
      for (std::string_view rest = lines[i]; !rest.empty();) {
        // A word and the white space behind it.
        size_t end = 0;
        for (const bool space : {false, true}) {
          while (end < rest.size() && is_space(first_character(rest.substr(end))) == space) {
            end += character_bytes(rest.substr(end));
          }
        }
        const std::string_view word = rest.substr(0, end);
        rest.remove_prefix(end);
        const size_t most = room(rest.empty() && last ? allowance : 0);
        const auto length = static_cast<size_t>(length_of(quote(held + std::string(word))));
        if (!held.empty() && length > most) pieces.push_back(quote(std::exchange(held, "")));
        held += word;
        heap_.step_bytes(held.size());
      }
      if (!held.empty()) pieces.push_back(quote(held));
    }
    if (pieces.size() == 1) {
      out_ += pieces[0];
      return;
    }
    if (outermost) out_ += '(';
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (i > 0) new_line(indent);
      out_ += pieces[i];
    }
    if (outermost) out_ += ')';
  }

  Heap& heap_;
  std::string out_;
};

}  // namespace

std::string pretty(Heap& heap, const Value& value) {
  PrettyPrinter printer(heap);
  printer.print(value, 0, 0);
  return printer.take();
}

}  // namespace guerdon::text::jinja
