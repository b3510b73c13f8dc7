#include "text/jinja_unicode.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <cstring>

#include "guerdon/base/utf8.h"

namespace guerdon::text::jinja {
namespace {

icu::UnicodeString to_icu(std::string_view text) {
  return icu::UnicodeString::fromUTF8(
      icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
}

std::string from_icu(const icu::UnicodeString& text) {
  std::string out;
  text.toUTF8String(out);
  return out;
}

template <class Change>
std::string change_ascii(std::string_view text, const Change& change) {
  std::string out(text);
  for (char& c : out) c = change(c);
  return out;
}

char ascii_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

UChar32 point(char32_t c) { return static_cast<UChar32>(c); }

/// The title case of one character: its own where Unicode has one, else its upper case with all but
/// the first lowered ("ss" for a sharp s gives "Ss").
std::string title_of(std::string_view character) {
  const char32_t c = first_character(character);
  const UChar32 title = u_totitle(point(c));
  std::string out;
  if (title != point(c)) {
    utf8_append(out, static_cast<char32_t>(title));
    return out;
  }
  const std::string upper = to_upper(character);
  const size_t first = character_bytes(upper);
  return upper.substr(0, first) + to_lower(std::string_view(upper).substr(first));
}

bool is_cased(char32_t c) { return is_lower(c) || is_upper(c) || is_title(c); }

}  // namespace

bool is_ascii(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

size_t character_bytes(std::string_view text) { return std::max<size_t>(utf8_length(text), 1); }

char32_t first_character(std::string_view text) {
  const size_t length = utf8_length(text);
  return length == 0 ? 0xFFFD : utf8_decode(text, length);
}

int64_t length_of(std::string_view text) {
  int64_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

size_t byte_of(std::string_view text, int64_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) at += character_bytes(text.substr(at));
  return at;
}

int64_t index_of_byte(std::string_view text, size_t at) { return length_of(text.substr(0, at)); }

std::u32string decode(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  while (!text.empty()) {
    out.push_back(first_character(text));
    text.remove_prefix(character_bytes(text));
  }
  return out;
}

size_t find_text(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  // memmem and not string_view::find, which takes |text| |needle| steps at worst.
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  return found == nullptr ? std::string_view::npos
                          : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t find_last_text(std::string_view text, std::string_view needle) {
  if (needle.size() > text.size()) return std::string_view::npos;
  const std::string mirrored(text.rbegin(), text.rend());
  const std::string mirrored_needle(needle.rbegin(), needle.rend());
  const size_t found = find_text(mirrored, mirrored_needle);
  return found == std::string_view::npos ? found : text.size() - found - needle.size();
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || u_charType(point(c)) == U_SPACE_SEPARATOR || c == 0x2028 || c == 0x2029;
}
bool is_alphabetic(char32_t c) {
  return (U_GET_GC_MASK(point(c)) &
          (U_GC_LU_MASK | U_GC_LL_MASK | U_GC_LT_MASK | U_GC_LM_MASK | U_GC_LO_MASK)) != 0;
}
bool is_decimal(char32_t c) {
  return u_getIntPropertyValue(point(c), UCHAR_NUMERIC_TYPE) == U_NT_DECIMAL;
}
bool is_digit(char32_t c) {
  const int32_t type = u_getIntPropertyValue(point(c), UCHAR_NUMERIC_TYPE);
  return type == U_NT_DECIMAL || type == U_NT_DIGIT;
}
bool is_numeric(char32_t c) {
  return u_getIntPropertyValue(point(c), UCHAR_NUMERIC_TYPE) != U_NT_NONE;
}
bool is_lower(char32_t c) { return u_hasBinaryProperty(point(c), UCHAR_LOWERCASE) != 0; }
bool is_upper(char32_t c) { return u_hasBinaryProperty(point(c), UCHAR_UPPERCASE) != 0; }
bool is_title(char32_t c) { return u_charType(point(c)) == U_TITLECASE_LETTER; }
bool is_printable(char32_t c) {
  constexpr uint32_t kHidden = U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CS_MASK | U_GC_CO_MASK |
                               U_GC_CN_MASK | U_GC_ZL_MASK | U_GC_ZP_MASK | U_GC_ZS_MASK;
  return c == ' ' || (U_GET_GC_MASK(point(c)) & kHidden) == 0;
}
bool is_identifier_start(char32_t c) {
  return c == '_' || u_hasBinaryProperty(point(c), UCHAR_XID_START) != 0;
}
bool is_identifier_part(char32_t c) {
  return u_hasBinaryProperty(point(c), UCHAR_XID_CONTINUE) != 0;
}

bool is_identifier(std::string_view text) {
  if (text.empty() || !is_identifier_start(first_character(text))) return false;
  for (; !text.empty(); text.remove_prefix(character_bytes(text))) {
    if (!is_identifier_part(first_character(text))) return false;
  }
  return true;
}

bool ends_line(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

std::string to_upper(std::string_view text) {
  if (is_ascii(text)) return change_ascii(text, ascii_upper);
  return from_icu(to_icu(text).toUpper(icu::Locale::getRoot()));
}

std::string to_lower(std::string_view text) {
  if (is_ascii(text)) return change_ascii(text, ascii_lower);
  return from_icu(to_icu(text).toLower(icu::Locale::getRoot()));
}

namespace {
/// The lower case of `text` behind `before`, which decides on a final sigma.
std::string lower_behind(std::string_view before, std::string_view text) {
  return to_lower(std::string(before) + std::string(text)).substr(to_lower(before).size());
}
}  // namespace

std::string to_title(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t first = character_bytes(text);
    if (!is_cased(first_character(text))) {
      out += text.substr(0, first);
      text.remove_prefix(first);
      continue;
    }
    size_t end = first;
    while (end < text.size() && is_cased(first_character(text.substr(end))))
      end += character_bytes(text.substr(end));
    const std::string_view initial = text.substr(0, first);
    out += title_of(initial) + lower_behind(initial, text.substr(first, end - first));
    text.remove_prefix(end);
  }
  return out;
}

std::string to_capitalized(std::string_view text) {
  if (text.empty()) return {};
  const std::string_view initial = text.substr(0, character_bytes(text));
  return title_of(initial) + lower_behind(initial, text.substr(initial.size()));
}

std::string swap_case(std::string_view text) {
  std::string out;
  std::string_view previous;
  while (!text.empty()) {
    const std::string_view character = text.substr(0, character_bytes(text));
    const char32_t c = first_character(text);
    text.remove_prefix(character.size());
    if (is_upper(c)) {
      const std::string_view next = text.substr(0, text.empty() ? 0 : character_bytes(text));
      const std::string lowered =
          lower_behind(previous, std::string(character) + std::string(next));
      out += lowered.substr(0, lowered.size() - to_lower(next).size());
    } else {
      out += is_lower(c) ? to_upper(character) : std::string(character);
    }
    previous = character;
  }
  return out;
}

std::string fold_case(std::string_view text) {
  if (is_ascii(text)) return change_ascii(text, ascii_lower);
  return from_icu(to_icu(text).foldCase());
}

namespace {
/// Bytes of the last character.
size_t last_bytes(std::string_view text) {
  size_t bytes = 1;
  while (bytes < text.size() && bytes < 4 &&
         (static_cast<unsigned char>(text[text.size() - bytes]) & 0xC0) == 0x80)
    ++bytes;
  return character_bytes(text.substr(text.size() - bytes)) == bytes ? bytes : 1;
}

template <class In>
std::string_view strip_if(std::string_view text, Side side, const In& in) {
  while (side != Side::right && !text.empty() && in(first_character(text)))
    text.remove_prefix(character_bytes(text));
  while (side != Side::left && !text.empty()) {
    const size_t bytes = last_bytes(text);
    if (!in(first_character(text.substr(text.size() - bytes)))) break;
    text.remove_suffix(bytes);
  }
  return text;
}
}  // namespace

std::string_view strip_space(std::string_view text, Side side) {
  return strip_if(text, side, is_space);
}

std::string_view strip_set(std::string_view text, std::string_view set, Side side) {
  std::u32string members = decode(set);
  std::sort(members.begin(), members.end());
  return strip_if(text, side, [&](char32_t c) {
    return std::binary_search(members.begin(), members.end(), c);
  });
}

char32_t character_named(const std::string& name) {
  UErrorCode error = U_ZERO_ERROR;
  const UChar32 c = u_charFromName(U_UNICODE_CHAR_NAME, name.c_str(), &error);
  return U_FAILURE(error) != 0 ? 0 : static_cast<char32_t>(c);
}

}  // namespace guerdon::text::jinja
