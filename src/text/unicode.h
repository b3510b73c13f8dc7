/// Character properties, as the libraries that trained the vocabularies see them: Unicode 16.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace guerdon::text::unicode {

/// General categories, in the order of ICU's UCharCategory.
enum class Category : uint8_t {
  Cn,
  Lu,
  Ll,
  Lt,
  Lm,
  Lo,
  Mn,
  Me,
  Mc,
  Nd,
  Nl,
  No,
  Zs,
  Zl,
  Zp,
  Cc,
  Cf,
  Co,
  Cs,
  Pd,
  Ps,
  Pe,
  Pc,
  Po,
  Sm,
  Sc,
  Sk,
  So,
  Pi,
  Pf
};

/// A run of code points [first, last] that Unicode 15.0 to 16.0 assigned.
struct Addition {
  char32_t first, last;
  Category category;
};

/// What Unicode 15.0, 15.1 and 16.0 added, in order: PCRE2 10.42 knows Unicode 14, ICU 72 knows 15.
std::span<const Addition> additions();

Category category(char32_t c);

/// The first letter of the category: 'L', 'M', 'N', 'P', 'S', 'Z' or 'C'.
char group(Category category);
inline char group(char32_t c) { return group(category(c)); }

inline bool is_letter(char32_t c) { return group(c) == 'L'; }
inline bool is_number(char32_t c) { return group(c) == 'N'; }
inline bool is_mark(char32_t c) { return group(c) == 'M'; }
/// The category in an older version of Unicode (as far as ages tell): Cn for what came later.
Category category_as_of(char32_t c, int version);
/// ASCII punctuation and symbols, or category P of Unicode 8: what BERT and the Punctuation
/// pre-tokenizer split at.
bool is_punctuation(char32_t c);
/// The property White_Space (25 code points).
bool is_space(char32_t c);
/// Alphabetic, mark, decimal digit, connector or join control: \w of UTS 18.
bool is_word(char32_t c);

/// What the word splitters ask of a character. Fast: a table below U+10000.
enum class Kind : uint8_t { other, letter, number, space };
Kind kind(char32_t c);

/// The character at text[at], which must begin one; `at` moves behind it.
char32_t next(std::string_view text, size_t& at);
/// The character that ends at text[at]; `at` moves to its beginning.
char32_t previous(std::string_view text, size_t& at);
/// How many characters; counts the bytes that begin one.
size_t length(std::string_view text);
bool is_ascii(std::string_view text);

}  // namespace guerdon::text::unicode
