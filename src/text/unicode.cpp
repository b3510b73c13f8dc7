#include "text/unicode.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "guerdon/base/utf8.h"

namespace guerdon::text::unicode {
namespace {

// The general categories of the code points assigned by Unicode 15.0, 15.1 and 16.0.
constexpr Addition kAdditions[] = {
    {0x897, 0x897, Category::Mn},     {0xCF3, 0xCF3, Category::Mc},
    {0xECE, 0xECE, Category::Mn},     {0x1B4E, 0x1B4F, Category::Po},
    {0x1B7F, 0x1B7F, Category::Po},   {0x1C89, 0x1C89, Category::Lu},
    {0x1C8A, 0x1C8A, Category::Ll},   {0x2427, 0x2429, Category::So},
    {0x2FFC, 0x2FFF, Category::So},   {0x31E4, 0x31E5, Category::So},
    {0x31EF, 0x31EF, Category::So},   {0xA7CB, 0xA7CC, Category::Lu},
    {0xA7CD, 0xA7CD, Category::Ll},   {0xA7DA, 0xA7DA, Category::Lu},
    {0xA7DB, 0xA7DB, Category::Ll},   {0xA7DC, 0xA7DC, Category::Lu},
    {0x105C0, 0x105F3, Category::Lo}, {0x10D40, 0x10D49, Category::Nd},
    {0x10D4A, 0x10D4D, Category::Lo}, {0x10D4E, 0x10D4E, Category::Lm},
    {0x10D4F, 0x10D4F, Category::Lo}, {0x10D50, 0x10D65, Category::Lu},
    {0x10D69, 0x10D6D, Category::Mn}, {0x10D6E, 0x10D6E, Category::Pd},
    {0x10D6F, 0x10D6F, Category::Lm}, {0x10D70, 0x10D85, Category::Ll},
    {0x10D8E, 0x10D8F, Category::Sm}, {0x10EC2, 0x10EC4, Category::Lo},
    {0x10EFC, 0x10EFF, Category::Mn}, {0x1123F, 0x11240, Category::Lo},
    {0x11241, 0x11241, Category::Mn}, {0x11380, 0x11389, Category::Lo},
    {0x1138B, 0x1138B, Category::Lo}, {0x1138E, 0x1138E, Category::Lo},
    {0x11390, 0x113B5, Category::Lo}, {0x113B7, 0x113B7, Category::Lo},
    {0x113B8, 0x113BA, Category::Mc}, {0x113BB, 0x113C0, Category::Mn},
    {0x113C2, 0x113C2, Category::Mc}, {0x113C5, 0x113C5, Category::Mc},
    {0x113C7, 0x113CA, Category::Mc}, {0x113CC, 0x113CD, Category::Mc},
    {0x113CE, 0x113CE, Category::Mn}, {0x113CF, 0x113CF, Category::Mc},
    {0x113D0, 0x113D0, Category::Mn}, {0x113D1, 0x113D1, Category::Lo},
    {0x113D2, 0x113D2, Category::Mn}, {0x113D3, 0x113D3, Category::Lo},
    {0x113D4, 0x113D5, Category::Po}, {0x113D7, 0x113D8, Category::Po},
    {0x113E1, 0x113E2, Category::Mn}, {0x116D0, 0x116E3, Category::Nd},
    {0x11B00, 0x11B09, Category::Po}, {0x11BC0, 0x11BE0, Category::Lo},
    {0x11BE1, 0x11BE1, Category::Po}, {0x11BF0, 0x11BF9, Category::Nd},
    {0x11F00, 0x11F01, Category::Mn}, {0x11F02, 0x11F02, Category::Lo},
    {0x11F03, 0x11F03, Category::Mc}, {0x11F04, 0x11F10, Category::Lo},
    {0x11F12, 0x11F33, Category::Lo}, {0x11F34, 0x11F35, Category::Mc},
    {0x11F36, 0x11F3A, Category::Mn}, {0x11F3E, 0x11F3F, Category::Mc},
    {0x11F40, 0x11F40, Category::Mn}, {0x11F41, 0x11F41, Category::Mc},
    {0x11F42, 0x11F42, Category::Mn}, {0x11F43, 0x11F4F, Category::Po},
    {0x11F50, 0x11F59, Category::Nd}, {0x11F5A, 0x11F5A, Category::Mn},
    {0x1342F, 0x1342F, Category::Lo}, {0x13439, 0x1343F, Category::Cf},
    {0x13440, 0x13440, Category::Mn}, {0x13441, 0x13446, Category::Lo},
    {0x13447, 0x13455, Category::Mn}, {0x13460, 0x143FA, Category::Lo},
    {0x16100, 0x1611D, Category::Lo}, {0x1611E, 0x16129, Category::Mn},
    {0x1612A, 0x1612C, Category::Mc}, {0x1612D, 0x1612F, Category::Mn},
    {0x16130, 0x16139, Category::Nd}, {0x16D40, 0x16D42, Category::Lm},
    {0x16D43, 0x16D6A, Category::Lo}, {0x16D6B, 0x16D6C, Category::Lm},
    {0x16D6D, 0x16D6F, Category::Po}, {0x16D70, 0x16D79, Category::Nd},
    {0x18CFF, 0x18CFF, Category::Lo}, {0x1B132, 0x1B132, Category::Lo},
    {0x1B155, 0x1B155, Category::Lo}, {0x1CC00, 0x1CCEF, Category::So},
    {0x1CCF0, 0x1CCF9, Category::Nd}, {0x1CD00, 0x1CEB3, Category::So},
    {0x1D2C0, 0x1D2D3, Category::No}, {0x1DF25, 0x1DF2A, Category::Ll},
    {0x1E030, 0x1E06D, Category::Lm}, {0x1E08F, 0x1E08F, Category::Mn},
    {0x1E4D0, 0x1E4EA, Category::Lo}, {0x1E4EB, 0x1E4EB, Category::Lm},
    {0x1E4EC, 0x1E4EF, Category::Mn}, {0x1E4F0, 0x1E4F9, Category::Nd},
    {0x1E5D0, 0x1E5ED, Category::Lo}, {0x1E5EE, 0x1E5EF, Category::Mn},
    {0x1E5F0, 0x1E5F0, Category::Lo}, {0x1E5F1, 0x1E5FA, Category::Nd},
    {0x1E5FF, 0x1E5FF, Category::Po}, {0x1F6DC, 0x1F6DC, Category::So},
    {0x1F774, 0x1F776, Category::So}, {0x1F77B, 0x1F77F, Category::So},
    {0x1F7D9, 0x1F7D9, Category::So}, {0x1F8B2, 0x1F8BB, Category::So},
    {0x1F8C0, 0x1F8C1, Category::So}, {0x1FA75, 0x1FA77, Category::So},
    {0x1FA87, 0x1FA89, Category::So}, {0x1FA8F, 0x1FA8F, Category::So},
    {0x1FAAD, 0x1FAAF, Category::So}, {0x1FABB, 0x1FABF, Category::So},
    {0x1FAC6, 0x1FAC6, Category::So}, {0x1FACE, 0x1FACF, Category::So},
    {0x1FADA, 0x1FADC, Category::So}, {0x1FADF, 0x1FADF, Category::So},
    {0x1FAE8, 0x1FAE9, Category::So}, {0x1FAF7, 0x1FAF8, Category::So},
    {0x1FBCB, 0x1FBEF, Category::So}, {0x2B739, 0x2B739, Category::Lo},
    {0x2EBF0, 0x2EE5D, Category::Lo}, {0x31350, 0x323AF, Category::Lo},
};

const Addition* find_addition(char32_t c) {
  const auto* end = std::end(kAdditions);
  const auto* at =
      std::upper_bound(std::begin(kAdditions), end, c,
                       [](char32_t value, const Addition& a) { return value < a.first; });
  if (at == std::begin(kAdditions)) return nullptr;
  --at;
  return c <= at->last ? at : nullptr;
}

Kind slow_kind(char32_t c) {
  if (is_space(c)) return Kind::space;
  switch (group(c)) {
    case 'L': return Kind::letter;
    case 'N': return Kind::number;
    default: return Kind::other;
  }
}

constexpr char32_t kTableSize = 0x10000;

}  // namespace

std::span<const Addition> additions() { return kAdditions; }

Category category(char32_t c) {
  const auto known = static_cast<Category>(u_charType(static_cast<UChar32>(c)));
  if (known != Category::Cn) return known;
  const Addition* added = find_addition(c);
  return added ? added->category : Category::Cn;
}

char group(Category category) {
  constexpr std::string_view groups = "CLLLLLMMMNNNZZZCCCCPPPPPSSSSPP";
  return groups[static_cast<size_t>(category)];
}

Category category_as_of(char32_t c, int version) {
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  return age[0] > 0 && age[0] <= version
             ? static_cast<Category>(u_charType(static_cast<UChar32>(c)))
             : Category::Cn;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  return group(category_as_of(c, 8)) == 'P';
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_word(char32_t c) {
  if (c < 0x80)
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  if (c == 0x200C || c == 0x200D) return true;
  const Category of = category(c);
  return group(of) == 'L' || group(of) == 'M' || of == Category::Nd || of == Category::Pc ||
         u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_ALPHABETIC);
}

Kind kind(char32_t c) {
  static const std::vector<Kind> table = [] {
    std::vector<Kind> kinds(kTableSize);
    for (char32_t at = 0; at < kTableSize; ++at) kinds[at] = slow_kind(at);
    return kinds;
  }();
  return c < kTableSize ? table[c] : slow_kind(c);
}

char32_t next(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[at + i]));
  };
  const char32_t first = byte(0);
  const size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  const char32_t c = utf8_decode(text.substr(at), length);
  at += length;
  return c;
}

char32_t previous(std::string_view text, size_t& at) {
  do {
    --at;
  } while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  size_t position = at;
  return next(text, position);
}

size_t length(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

bool is_ascii(std::string_view text) {
  uint64_t any = 0;
  size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + at, 8);
    any |= word;
  }
  for (; at < text.size(); ++at) any |= static_cast<unsigned char>(text[at]) & uint64_t{0x80};
  return (any & 0x8080808080808080) == 0;
}

}  // namespace guerdon::text::unicode
