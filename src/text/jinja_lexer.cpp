#include "text/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "guerdon/base/error.h"
#include "guerdon/base/utf8.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {

std::string place_of(const std::string& name, Position position) {
  return str(name, ":", position.line, ":", position.column);
}

namespace {

/// Line ends become "\n", and one at the end of the text goes.
std::string with_plain_line_ends(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

bool is_digit_of(char c, int base) {
  const char lower = static_cast<char>(c | 0x20);
  if (base == 16 && lower >= 'a' && lower <= 'f') return true;
  return c >= '0' && c <= '9' && c - '0' < base;
}

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& name)
      : name_(name), text_(with_plain_line_ends(source)) {}

  std::vector<Token> run() {
    for (size_t at = 0; at < text_.size(); ++at) {
      if (utf8_length(view().substr(at)) == 0) {
        fail(at, "byte " + std::to_string(static_cast<unsigned char>(text_[at])) + " is not UTF-8");
      }
      at += utf8_length(view().substr(at)) - 1;
    }
    while (at_ < text_.size()) outside();
    add(Token::Kind::end, text_.size(), "");
    return std::move(tokens_);
  }

 private:
  std::string_view view() const { return text_; }
  bool here(std::string_view what) const { return view().substr(at_).starts_with(what); }

  [[noreturn]] void fail(size_t at, const std::string& what) {
    fail_input(place_of(name_, position(at)), what);
  }

  /// Asked for in rising order, but for errors.
  Position position(size_t at) {
    if (at < counted_) counted_ = 0, counted_position_ = {};
    for (; counted_ < at; ++counted_) {
      const auto byte = static_cast<unsigned char>(text_[counted_]);
      if (byte == '\n') {
        ++counted_position_.line;
        counted_position_.column = 1;
      } else if ((byte & 0xC0) != 0x80) {
        ++counted_position_.column;
      }
    }
    return counted_position_;
  }

  void add(Token::Kind kind, size_t at, std::string value) {
    tokens_.push_back({kind, position(at), std::move(value)});
  }

  size_t skip_space(size_t at) const {
    while (at < text_.size() && is_space(first_character(view().substr(at))))
      at += character_bytes(view().substr(at));
    return at;
  }

  // ---- outside tags

  void outside() {
    const size_t begin = at_;
    size_t tag = begin;
    while ((tag = text_.find('{', tag)) != std::string::npos && tag + 1 < text_.size() &&
           std::string_view("{%#").find(text_[tag + 1]) == std::string_view::npos) {
      ++tag;
    }
    if (tag == std::string::npos || tag + 1 >= text_.size()) {
      add(Token::Kind::data, begin, text_.substr(begin));
      at_ = text_.size();
      return;
    }
    const char kind = text_[tag + 1];
    at_ = tag + 2;
    const char sign =
        at_ < text_.size() && (text_[at_] == '-' || text_[at_] == '+') ? text_[at_] : ' ';
    add_data(begin, tag, sign, kind != '{');
    if (sign != ' ') ++at_;
    if (kind == '#') {
      comment(tag);
    } else if (kind == '{') {
      add(Token::Kind::variable_begin, tag, "{{");
      inside(Token::Kind::variable_end);
    } else if (!raw(tag)) {
      add(Token::Kind::block_begin, tag, "{%");
      inside(Token::Kind::block_end);
    }
  }

  /// The text before a tag: "-" takes the white space at its end; a tag alone on its line takes
  /// what stands before it there.
  void add_data(size_t begin, size_t end, char sign, bool takes_line) {
    std::string_view data = view().substr(begin, end - begin);
    if (sign == '-') {
      data = strip_space(data, Side::right);
    } else if (sign != '+' && takes_line) {
      const size_t line = data.rfind('\n') + 1;
      const bool starts_line = line > 0 || line_starting_;
      if (starts_line && strip_space(data.substr(line), Side::left).empty())
        data = data.substr(0, line);
    }
    if (!data.empty()) add(Token::Kind::data, begin, std::string(data));
  }

  /// The end of a comment, block or raw tag at `at`, with the white space that it takes; npos when
  /// there is none.
  size_t end_of_tag(size_t at, std::string_view close) const {
    const std::string_view rest = view().substr(at);
    if (rest.starts_with('+') && rest.substr(1).starts_with(close)) return at + 1 + close.size();
    if (rest.starts_with('-') && rest.substr(1).starts_with(close))
      return skip_space(at + 1 + close.size());
    if (!rest.starts_with(close)) return std::string::npos;
    const size_t end = at + close.size();
    return end < text_.size() && text_[end] == '\n' ? end + 1 : end;
  }

  void leave_tag(size_t end) {
    at_ = end;
    line_starting_ = text_[end - 1] == '\n';
  }

  void comment(size_t tag) {
    const size_t end = text_.find("#}", at_);
    if (end == std::string::npos) fail(tag, "Missing end of comment tag");
    const bool has_sign = end > at_ && (text_[end - 1] == '-' || text_[end - 1] == '+');
    leave_tag(end_of_tag(has_sign ? end - 1 : end, "#}"));
  }

  /// {% raw %}...{% endraw %}, when that is what begins here; `at_` stands behind "{%" and its
  /// sign.
  bool raw(size_t tag) {
    const auto word_then = [&](size_t at, std::string_view word) -> size_t {
      at = skip_space(at);
      return view().substr(at).starts_with(word) ? skip_space(at + word.size()) : std::string::npos;
    };
    size_t open = word_then(at_, "raw");
    if (open == std::string::npos) return false;
    if (view().substr(open).starts_with("-%}")) {
      open = skip_space(open + 3);
    } else if (view().substr(open).starts_with("%}")) {
      open += 2;
    } else {
      return false;
    }
    line_starting_ = text_[open - 1] == '\n';
    for (size_t at = open; (at = text_.find("{%", at)) != std::string::npos; at += 2) {
      const char sign = at + 2 < text_.size() && (text_[at + 2] == '-' || text_[at + 2] == '+')
                            ? text_[at + 2]
                            : ' ';
      const size_t close = word_then(at + 2 + (sign != ' '), "endraw");
      const size_t end = close == std::string::npos ? close : end_of_tag(close, "%}");
      if (end == std::string::npos) continue;
      add_data(open, at, sign, true);
      leave_tag(end);
      return true;
    }
    fail(tag, "Missing end of raw directive");
  }

  // ---- inside tags

  void inside(Token::Kind end) {
    std::string open;  // the brackets that wait for their end
    while (at_ < text_.size()) {
      if (open.empty() && leave(end)) return;
      const char c = text_[at_];
      if (const size_t space = skip_space(at_); space > at_) {
        at_ = space;
      } else if (c >= '0' && c <= '9') {
        number();
      } else if (c == '"' || c == '\'') {
        literal(c);
      } else if (is_identifier_part(first_character(view().substr(at_)))) {
        word();
      } else {
        symbol(open);
      }
    }
  }

  bool leave(Token::Kind kind) {
    size_t end = std::string::npos;
    if (kind == Token::Kind::block_end) {
      end = end_of_tag(at_, "%}");
    } else if (here("}}")) {
      end = at_ + 2;
    } else if (here("-}}")) {
      end = skip_space(at_ + 3);
    }
    if (end == std::string::npos) return false;
    add(kind, at_, kind == Token::Kind::block_end ? "%}" : "}}");
    leave_tag(end);
    return true;
  }

  /// Digits with single underscores between them.
  size_t digits(size_t at, int base) const {
    while (at < text_.size() && is_digit_of(text_[at], base)) {
      ++at;
      if (at + 1 < text_.size() && text_[at] == '_' && is_digit_of(text_[at + 1], base)) ++at;
    }
    return at;
  }

  void number() {
    const size_t begin = at_;
    const bool after_dot = begin > 0 && text_[begin - 1] == '.';
    const auto digit_at = [&](size_t at) {
      return at < text_.size() && is_digit_of(text_[at], 10);
    };
    size_t end = digits(begin, 10);
    if (!after_dot) {
      size_t real = end;
      if (real < text_.size() && text_[real] == '.' && digit_at(real + 1))
        real = digits(real + 1, 10);
      if (real < text_.size() && (text_[real] | 0x20) == 'e') {
        const size_t sign =
            real + 1 < text_.size() && (text_[real + 1] == '+' || text_[real + 1] == '-');
        if (digit_at(real + 1 + sign)) real = digits(real + 1 + sign, 10);
      }
      if (real > end) {
        at_ = real;
        add_number(Token::Kind::real, begin);
        return;
      }
    }
    if (text_[begin] == '0') {
      const char letter =
          begin + 1 < text_.size() ? static_cast<char>(text_[begin + 1] | 0x20) : ' ';
      const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
      const size_t first =
          begin + 2 + (base != 0 && begin + 2 < text_.size() && text_[begin + 2] == '_');
      if (base != 0 && first < text_.size() && is_digit_of(text_[first], base)) {
        end = digits(first, base);
      } else {
        end = begin + 1;  // "007" is three numbers, as in Jinja: an error later on
        while (end < text_.size() &&
               (text_[end] == '0' ||
                (text_[end] == '_' && end + 1 < text_.size() && text_[end + 1] == '0')))
          ++end;
      }
    }
    at_ = end;
    add_number(Token::Kind::integer, begin);
  }

  void add_number(Token::Kind kind, size_t begin) {
    std::string value = text_.substr(begin, at_ - begin);
    std::erase(value, '_');
    add(kind, begin, std::move(value));
  }

  void word() {
    const size_t begin = at_;
    while (at_ < text_.size() && is_identifier_part(first_character(view().substr(at_))))
      at_ += character_bytes(view().substr(at_));
    if (!is_identifier(view().substr(begin, at_ - begin)))
      fail(begin, "Invalid character in identifier");
    add(Token::Kind::name, begin, text_.substr(begin, at_ - begin));
  }

  void symbol(std::string& open) {
    static constexpr std::array<std::string_view, 26> kSymbols = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (const std::string_view symbol : kSymbols) {
      if (!here(symbol)) continue;
      const size_t opens = std::string_view("([{").find(symbol[0]);
      if (opens != std::string_view::npos) open += ")]}"[opens];
      if (std::string_view(")]}").find(symbol[0]) != std::string_view::npos) {
        if (open.empty()) fail(at_, str("unexpected '", symbol, "'"));
        if (open.back() != symbol[0])
          fail(at_, str("unexpected '", symbol, "', expected '", open.back(), "'"));
        open.pop_back();
      }
      add(Token::Kind::symbol, at_, std::string(symbol));
      at_ += symbol.size();
      return;
    }
    fail(at_,
         "unexpected character " + show(view().substr(at_, character_bytes(view().substr(at_)))));
  }

  // ---- string literals

  void literal(char quote) {
    const size_t begin = at_;
    size_t end = begin + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) fail(begin, "the string is never closed");
    std::string value;
    for (at_ = begin + 1; at_ < end;) {
      if (text_[at_] == '\\') {
        escape(value, end);
      } else {
        value += text_[at_++];
      }
    }
    at_ = end + 1;
    add(Token::Kind::text, begin, std::move(value));
  }

  /// A backslash and what follows it, as Python's "unicode-escape" reads them.
  void escape(std::string& out, size_t end) {
    const size_t begin = at_++;
    const char c = text_[at_];
    static constexpr std::string_view kLetters = "abfnrtv\\'\"", kMeanings = "\a\b\f\n\r\t\v\\'\"";
    if (const size_t letter = kLetters.find(c); letter != std::string_view::npos) {
      out += kMeanings[letter];
      ++at_;
    } else if (c == '\n') {
      ++at_;
    } else if (c >= '0' && c <= '7') {
      char32_t value = 0;
      for (int i = 0; i < 3 && at_ < end && text_[at_] >= '0' && text_[at_] <= '7'; ++i) {
        value = value * 8 + static_cast<char32_t>(text_[at_++] - '0');
      }
      utf8_append(out, value);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      ++at_;
      char32_t value = hexadecimal(begin, end, c == 'x' ? 2 : c == 'u' ? 4 : 8);
      if (value >= 0xD800 && value < 0xDC00 && here("\\u")) {
        at_ += 2;
        const char32_t low = hexadecimal(begin, end, 4);
        if (low < 0xDC00 || low > 0xDFFF) fail(begin, "a surrogate stands alone");
        value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
      }
      if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
        fail(begin, "the escape names no character");
      utf8_append(out, value);
    } else if (c == 'N') {
      const size_t close = text_.find('}', at_);
      if (!view().substr(at_ + 1).starts_with('{') || close >= end)
        fail(begin, "malformed \\N character escape");
      const char32_t value = character_named(text_.substr(at_ + 2, close - at_ - 2));
      if (value == 0) fail(begin, "unknown Unicode character name");
      utf8_append(out, value);
      at_ = close + 1;
    } else if (static_cast<unsigned char>(c) < 0x80) {
      out += '\\';
      out += c;
      ++at_;
    } else {
      // Python escapes such a character first and then reads backslash, backslash.
      const char32_t value = first_character(view().substr(at_));
      char escaped[16];
      std::snprintf(escaped, sizeof escaped,
                    value < 0x100     ? "\\x%02x"
                    : value < 0x10000 ? "\\u%04x"
                                      : "\\U%08x",
                    static_cast<unsigned>(value));
      out += escaped;
      at_ += character_bytes(view().substr(at_));
    }
  }

  char32_t hexadecimal(size_t escape_begin, size_t end, int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      if (at_ >= end || !is_digit_of(text_[at_], 16))
        fail(escape_begin, "truncated escape in a string");
      const char c = static_cast<char>(text_[at_] | 0x20);
      value = value * 16 + static_cast<char32_t>(c >= 'a' ? c - 'a' + 10 : text_[at_] - '0');
    }
    return value;
  }

  const std::string& name_;
  const std::string text_;
  size_t at_ = 0;
  bool line_starting_ = true;
  size_t counted_ = 0;
  Position counted_position_;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, const std::string& name) {
  return Lexer(source, name).run();
}

}  // namespace guerdon::text::jinja
