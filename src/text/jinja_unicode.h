/// Python's view of a text: positions count code points, and letters are what Unicode says. All
/// functions take well-formed UTF-8; a byte that is not counts as a character of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace guerdon::text::jinja {

bool is_ascii(std::string_view text);

/// Bytes of the character at the start of a text that is not empty.
size_t character_bytes(std::string_view text);
/// The character at the start of a text that is not empty.
char32_t first_character(std::string_view text);
/// Number of code points.
int64_t length_of(std::string_view text);
/// The byte at which the code point `index` in [0, length] begins.
size_t byte_of(std::string_view text, int64_t index);
/// The code points before the byte `at`.
int64_t index_of_byte(std::string_view text, size_t at);
std::u32string decode(std::string_view text);

/// Where `needle` begins in `text`, at or after `from`; npos when nowhere. In linear time, whatever
/// the texts.
size_t find_text(std::string_view text, std::string_view needle, size_t from = 0);
/// The last such place.
size_t find_last_text(std::string_view text, std::string_view needle);

/// The properties behind str.isspace(), isalpha(), ...
bool is_space(char32_t c);
bool is_alphabetic(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);
bool is_numeric(char32_t c);
bool is_lower(char32_t c);
bool is_upper(char32_t c);
bool is_title(char32_t c);
bool is_printable(char32_t c);
bool is_identifier_start(char32_t c);
bool is_identifier_part(char32_t c);
inline bool is_alphanumeric(char32_t c) { return is_alphabetic(c) || is_numeric(c); }
bool is_identifier(std::string_view text);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_title(std::string_view text);  ///< str.title(): every word begins with a capital
std::string to_capitalized(std::string_view text);  ///< str.capitalize()
std::string swap_case(std::string_view text);
std::string fold_case(std::string_view text);

/// The text without white space, or without the characters in `set`, at its ends.
enum class Side { left, right, both };
std::string_view strip_space(std::string_view text, Side side);
std::string_view strip_set(std::string_view text, std::string_view set, Side side);

/// Whether str.splitlines() cuts there.
bool ends_line(char32_t c);

/// The character of that Unicode name, 0 when there is none.
char32_t character_named(const std::string& name);

}  // namespace guerdon::text::jinja
