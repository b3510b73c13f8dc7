#include "text/byte_level.h"

#include "guerdon/base/utf8.h"
#include "text/unicode.h"

namespace guerdon::text {
namespace {

using unicode::Kind;

constexpr char32_t kLongS = 0x17F;  // folds to s, so (?i:'s) matches it

/// A look at the next character of a text.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) { look(); }
  bool done() const { return at_ >= text_.size(); }
  size_t at() const { return at_; }
  char32_t c() const { return c_; }
  Kind kind() const { return kind_; }
  void step() {
    at_ = next_;
    look();
  }
  void run(Kind kind) {
    while (!done() && kind_ == kind) step();
  }

 private:
  void look() {
    if (at_ >= text_.size()) {
      c_ = 0;
      kind_ = Kind::other;
      return;
    }
    next_ = at_;
    c_ = unicode::next(text_, next_);
    kind_ = unicode::kind(c_);
  }
  std::string_view text_;
  size_t at_ = 0, next_ = 0;
  char32_t c_ = 0;
  Kind kind_ = Kind::other;
};

/// Length of 's, 't, 're, 've, 'm, 'll, 'd at the start of the text, or 0.
size_t contraction(std::string_view text, bool any_case) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const auto lower = [&](size_t i) -> char {
    if (i >= text.size()) return '\0';
    const char c = text[i];
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  };
  const char first = lower(1), second = lower(2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
      (first == 'l' && second == 'l'))
    return 3;
  if (any_case && utf8_length(text.substr(1)) == 2 && utf8_decode(text.substr(1), 2) == kLongS)
    return 3;
  return 0;
}

/// \s+(?!\S)|\s+ at a run of spaces: all of them at the end of the text; else all but the last,
/// which goes with the next word.
size_t spaces(const Cursor& behind, std::string_view text) {
  size_t last = behind.at();
  if (behind.done()) return last;
  unicode::previous(text, last);
  return last > 0 ? last : behind.at();
}

size_t llama3_like(std::string_view text, int max_digits) {
  if (const size_t length = contraction(text, true)) return length;
  Cursor cursor(text);
  // [^\r\n\p{L}\p{N}]?\p{L}+
  if (cursor.kind() == Kind::letter) {
    cursor.run(Kind::letter);
    return cursor.at();
  }
  const bool newline = cursor.c() == '\r' || cursor.c() == '\n';
  if (cursor.kind() != Kind::number && !newline) {
    Cursor word = cursor;
    word.step();
    if (!word.done() && word.kind() == Kind::letter) {
      word.run(Kind::letter);
      return word.at();
    }
  }
  // \p{N}{1,3}
  if (cursor.kind() == Kind::number) {
    for (int i = 0; i < max_digits && !cursor.done() && cursor.kind() == Kind::number; ++i)
      cursor.step();
    return cursor.at();
  }
  //  ?[^\s\p{L}\p{N}]+[\r\n]*
  Cursor symbols = cursor;
  if (symbols.c() == ' ') symbols.step();
  if (!symbols.done() && symbols.kind() == Kind::other) {
    symbols.run(Kind::other);
    while (!symbols.done() && (symbols.c() == '\r' || symbols.c() == '\n')) symbols.step();
    return symbols.at();
  }
  // \s*[\r\n]+
  size_t behind_newline = 0;
  while (!cursor.done() && cursor.kind() == Kind::space) {
    const bool newline_here = cursor.c() == '\r' || cursor.c() == '\n';
    cursor.step();
    if (newline_here) behind_newline = cursor.at();
  }
  return behind_newline > 0 ? behind_newline : spaces(cursor, text);
}

}  // namespace

const std::array<char32_t, 256>& byte_alphabet() {
  static const std::array<char32_t, 256> alphabet = [] {
    std::array<char32_t, 256> characters{};
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
      const bool printable =
          (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      characters[byte] = printable ? byte : next++;
    }
    return characters;
  }();
  return alphabet;
}

std::optional<unsigned char> byte_of(char32_t c) {
  constexpr char32_t kEnd = 0x144;
  static const std::array<int, kEnd> bytes = [] {
    std::array<int, kEnd> table{};
    table.fill(-1);
    for (size_t byte = 0; byte < 256; ++byte) table[byte_alphabet()[byte]] = static_cast<int>(byte);
    return table;
  }();
  if (c >= kEnd || bytes[c] < 0) return std::nullopt;
  return static_cast<unsigned char>(bytes[c]);
}

std::optional<std::string> bytes_of(std::string_view token) {
  std::string bytes;
  for (size_t at = 0; at < token.size();) {
    const auto byte = byte_of(unicode::next(token, at));
    if (!byte) return std::nullopt;
    bytes.push_back(static_cast<char>(*byte));
  }
  return bytes;
}

std::string in_byte_alphabet(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes)
    utf8_append(text, byte_alphabet()[static_cast<unsigned char>(byte)]);
  return text;
}

void to_byte_alphabet(const AlignedText& text, size_t begin, size_t end, AlignedText& out) {
  Rewriter rewriter(text, begin, end, out);
  for (size_t at = begin; at < end;) {
    const size_t first = at;
    unicode::next(text.bytes(), at);
    for (size_t i = first; i < at; ++i)
      rewriter.put(byte_alphabet()[static_cast<unsigned char>(text.bytes()[i])],
                   i == first ? 0 : 1);
  }
}

size_t gpt2_word(std::string_view text) {
  if (const size_t length = contraction(text, false)) return length;
  Cursor cursor(text);
  Cursor word = cursor;
  if (word.c() == ' ') word.step();  // the optional space of the three classes
  if (!word.done() && word.kind() != Kind::space) {
    word.run(word.kind());
    return word.at();
  }
  cursor.run(Kind::space);
  return spaces(cursor, text);
}

size_t llama3_word(std::string_view text) { return llama3_like(text, 3); }
size_t qwen2_word(std::string_view text) { return llama3_like(text, 1); }

WordMatcher word_matcher(std::string_view pattern) {
  if (pattern == kGpt2Pattern) return &gpt2_word;
  if (pattern == kLlama3Pattern) return &llama3_word;
  if (pattern == kQwen2Pattern) return &qwen2_word;
  return nullptr;
}

}  // namespace guerdon::text
