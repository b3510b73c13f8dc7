// Patterns in Oniguruma's dialect, and the word matchers that are written by hand.
#include "text/pattern.h"

#include "guerdon/base/random.h"
#include "guerdon/base/utf8.h"
#include "support/errors.h"
#include "text/byte_level.h"
#include "text/unicode.h"

namespace guerdon::test {
namespace {

using text::Pattern;
using text::Piece;

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  text::MatchSpace space;
  space.refill(text.size());
  std::vector<Piece> found;
  Pattern::regex(pattern, "p").find_all(text, space, found);
  std::vector<std::string> out;
  for (const Piece& piece : found) out.push_back(text.substr(piece.begin, piece.end - piece.begin));
  return out;
}

using Strings = std::vector<std::string>;

TEST(Pattern, DialectOfOniguruma) {
  EXPECT_EQ(matches(R"(\h+)", "xyz0aF"), (Strings{"0aF"}));          // hexadecimal digits
  EXPECT_EQ(matches(R"(a{,2}b)", "aaab b"), (Strings{"aab", "b"}));  // no lower bound
  EXPECT_EQ(matches(R"(\d{2}+)", "12345"), (Strings{"1234"}));       // repeated, not possessive
  EXPECT_EQ(matches(R"([a-z&&[^aeiou]]+)", "hello"), (Strings{"h", "ll"}));  // intersection
  EXPECT_EQ(matches(R"([^a-z&&[^x]]+)", "ax12"), (Strings{"x12"}));          // ^ is for the whole
  EXPECT_EQ(matches(R"([ab[cd]]+)", "xabcdx"), (Strings{"abcd"}));           // nested classes
  EXPECT_EQ(matches(R"((?m:a.b))", "a\nb"), (Strings{"a\nb"}));  // m: the dot matches all
  EXPECT_EQ(matches("a.b", "a\nb"), (Strings{}));
  EXPECT_EQ(matches("^b", "a\nb"), (Strings{"b"}));  // every line
  EXPECT_EQ(matches(R"([[:^alpha:]]+)", "ab12"), (Strings{"12"}));
  EXPECT_EQ(matches(R"(\p{^L}+)", "ab12"), (Strings{"12"}));
  EXPECT_EQ(matches(R"(\u0041\x42\x{43})", "ABC"), (Strings{"ABC"}));
  EXPECT_EQ(matches(R"((?<q>['"]).*?\k<q>)", "x'y'z"), (Strings{"'y'"}));
  EXPECT_EQ(matches(R"((?:ab)++c|a?+b)", "ababc"), (Strings{"ababc"}));  // possessive
  EXPECT_EQ(matches(R"([\]\-a]+)", "x]-a"), (Strings{"]-a"}));
}

TEST(Pattern, SpacesAreThoseOfUnicode) {
  EXPECT_EQ(matches(R"(\s)", "\xE1\xA0\x8E"), (Strings{}));  // U+180E is none
  EXPECT_EQ(matches(R"(\s)", "\xE2\x80\x83"), (Strings{"\xE2\x80\x83"}));
  EXPECT_EQ(matches(R"([^\S]+)", "a \t"), (Strings{" \t"}));
}

TEST(Pattern, KnowsTheCharactersOfUnicode16) {
  std::string letter;
  utf8_append(letter, 0x105C0);  // Todhri, of Unicode 16
  EXPECT_EQ(matches(R"(\p{L})", letter), (Strings{letter}));
  EXPECT_EQ(matches(R"([^\s\p{L}\p{N}])", letter), (Strings{}));
  EXPECT_EQ(matches(R"(\P{L})", letter), (Strings{}));
  EXPECT_EQ(matches(R"(\p{Cn}|\p{C})", letter), (Strings{}));
}

// The search goes on in steps of a few bytes, which must not begin within a character.
TEST(Pattern, LongTextsOfLongCharacters) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += i % 2 ? "\xE1\x85\xA0" : "\xF0\x9F\x85\x85";
  EXPECT_EQ(matches(R"(\s)", text + "\xC2\x85"), (Strings{"\xC2\x85"}));
  EXPECT_EQ(matches("[\xC2\x85-\xC2\xA0]+", text), (Strings{}));
}

TEST(Pattern, EmptyMatchesDoNotRepeat) {
  EXPECT_EQ(matches("x*", "axxb"), (Strings{"", "xx", ""}));  // before a, xx, at the end
}

/// Random text from characters that the matchers treat differently.
std::string random_text(Random& random) {
  constexpr char32_t interesting[] = {
      '\'',   's',   'S',  't',    'r',   'e',    'v',  'm',     'l',    'L',   'd',  'x',
      ' ',    ' ',   '\n', '\r',   '\t',  '1',    '9',  '!',     '-',    0x17F, 0xA0, 0x3000,
      0x2028, 0x301, 0xE9, 0x4E16, 0x660, 0x2167, 0xBD, 0x1F600, 0x180E, 0x200B};
  std::string text;
  for (uint64_t length = random.next_below(24); length > 0; --length) {
    char32_t c = interesting[random.next_below(std::size(interesting))];
    if (random.next_below(6) == 0) c = static_cast<char32_t>(random.next_below(0x323B0));
    if (c >= 0xD800 && c < 0xE000) c = 'q';
    utf8_append(text, c);
  }
  return text;
}

void expect_same(std::string_view source, text::WordMatcher matcher) {
  const Pattern pattern = Pattern::regex(std::string(source), "p");
  ASSERT_EQ(text::word_matcher(source), matcher);
  text::MatchSpace space;
  Random random(11, Purpose::data);
  for (int round = 0; round < 20'000; ++round) {
    const std::string text = random_text(random);
    space.refill(text.size());
    std::vector<Piece> found;
    pattern.find_all(text, space, found);
    size_t at = 0;
    for (const Piece& piece : found) {
      ASSERT_EQ(piece.begin, at) << text;
      ASSERT_EQ(piece.end - piece.begin, matcher(std::string_view(text).substr(at)))
          << text << " at " << at;
      at = piece.end;
    }
    ASSERT_EQ(at, text.size());
  }
}

TEST(WordMatcher, MatchesAsGpt2sPattern) { expect_same(text::kGpt2Pattern, &text::gpt2_word); }
TEST(WordMatcher, MatchesAsLlama3sPattern) {
  expect_same(text::kLlama3Pattern, &text::llama3_word);
}
TEST(WordMatcher, MatchesAsQwen2sPattern) { expect_same(text::kQwen2Pattern, &text::qwen2_word); }

TEST(WordMatcher, ClassifiesEveryCharacterAsPcre2Does) {
  text::MatchSpace space;
  std::string all;
  std::vector<char32_t> characters;
  for (char32_t c = 1; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    characters.push_back(c);
    utf8_append(all, c);
  }
  const auto count = [&](text::unicode::Kind kind) {
    return std::count_if(characters.begin(), characters.end(),
                         [&](char32_t c) { return text::unicode::kind(c) == kind; });
  };
  const auto matched = [&](const char* pattern) {
    space.refill(all.size());
    std::vector<Piece> found;
    Pattern::regex(pattern, "p").find_all(all, space, found);
    return static_cast<ptrdiff_t>(found.size());
  };
  EXPECT_EQ(count(text::unicode::Kind::letter), matched(R"(\p{L})"));
  EXPECT_EQ(count(text::unicode::Kind::number), matched(R"(\p{N})"));
  EXPECT_EQ(count(text::unicode::Kind::space), matched(R"(\s)"));
}

}  // namespace
}  // namespace guerdon::test
