// Long and hostile input: work stays near linear, or ends in an error. (Quadratic work would take
// hours here.)
#include "support/errors.h"
#include "text/tokenizer_checks.h"

namespace guerdon::test {
namespace {

using text::Tokenizer;

constexpr size_t kLong = 1'000'000;

std::string repeated(const std::string& part) {
  std::string text;
  while (text.size() < kLong) text += part;
  return text;
}

void expect_round_trip(const Tokenizer& tokenizer) {
  for (const char* part :
       {"a", " ", "ab", "\n", "\xF0\x9F\x98\x80", "e\xCC\x81", "'", "1", "a b"}) {
    const std::string text = repeated(part);
    const text::Encoding encoding = tokenizer.encode_with_ranges(text);
    EXPECT_EQ(tokenizer.decode(encoding.ids), text) << part;
    EXPECT_EQ(encoding.ranges.back().end, static_cast<int64_t>(text.size()));
  }
}

TEST(TokenizerLimits, LongTextsOfOneKind) {
  std::vector<std::string> merges = {"aa", "ab", "11", "''"};
  expect_round_trip(Tokenizer::from_json(byte_level_json(merges), "t"));
}

TEST(TokenizerLimits, LongTextsThroughPatterns) {
  for (
      const char* pattern :
      {R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       R"(\s+(?!\S)|\s+)", R"(\p{N}(?=(\p{N}{3})+(?!\p{N})))"}) {
    Json json = byte_level_json({"aa"});
    json["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"},
           {"pattern", {{"Regex", pattern}}},
           {"behavior", "Isolated"},
           {"invert", false}},
          {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
    const Tokenizer tokenizer = Tokenizer::from_json(json, "t");
    for (const char* part : {"a", " ", "\xF0\x9F\x98\x80", "word and "}) {
      const std::string text = repeated(part);
      EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text) << pattern << " on " << part;
    }
  }
}

TEST(TokenizerLimits, AHostilePatternIsAnErrorAndNotAHang) {
  for (const char* pattern :
       {"(a+)+b", "(a|aa)+$b", "(a|a)*?b", "a+b", "(?:a*)*c", "a*a*a*b", "(?=(a+)+b)"}) {
    const Json json = tokenizer_json(
        {{"type", "BPE"}, {"vocab", {{"a", 0}}}, {"merges", Json::array()}},
        {{"pre_tokenizer",
          {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}}}});
    const Tokenizer tokenizer = Tokenizer::from_json(json, "t.json");
    const std::string text =
        refusal(Kind::input, [&] { tokenizer.encode(std::string(200'000, 'a')); });
    EXPECT_EQ(text, str("t.json: key pre_tokenizer.pattern.Regex: the pattern ", show(pattern),
                        " takes too many steps on this text"));
  }
}

TEST(TokenizerLimits, LongTextsInOtherModels) {
  const Json mark = {
      {"normalizer",
       {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\xE2\x96\x81"}}}};
  const Json unigram = {
      {"type", "Unigram"},
      {"unk_id", 0},
      {"vocab",
       parse_json(R"([["<unk>", 0.0], ["a", -1.0], ["aa", -1.5], ["\u2581", -2.0]])", "vocab")}};
  const Json bpe = {
      {"type", "BPE"},
      {"unk_token", "<unk>"},
      {"fuse_unk", true},
      {"merges", {"a a", "aa aa"}},
      {"vocab", {{"<unk>", 0}, {"a", 1}, {"aa", 2}, {"aaaa", 3}, {"\xE2\x96\x81", 4}}}};
  const Json word_piece = {{"type", "WordPiece"},
                           {"unk_token", "<unk>"},
                           {"continuing_subword_prefix", "##"},
                           {"max_input_chars_per_word", 10'000'000},
                           {"vocab", {{"<unk>", 0}, {"a", 1}, {"##a", 2}, {"##aa", 3}}}};
  EXPECT_EQ(Tokenizer::from_json(tokenizer_json(unigram, mark), "t")
                .encode(std::string(kLong, 'a'))
                .size(),
            kLong / 2);
  EXPECT_EQ(
      Tokenizer::from_json(tokenizer_json(bpe, mark), "t").encode(std::string(kLong, 'a')).size(),
      kLong / 4);
  EXPECT_EQ(Tokenizer::from_json(tokenizer_json(bpe, mark), "t").encode(repeated(" ")).size(),
            kLong);
  EXPECT_EQ(Tokenizer::from_json(tokenizer_json(bpe, mark), "t").encode(repeated("z")).size(), 1u);
  EXPECT_EQ(
      Tokenizer::from_json(tokenizer_json(word_piece), "t").encode(std::string(kLong, 'a')).size(),
      kLong / 2 + 1);
}

// A file of a few hundred bytes must not fill the memory: 2^30 characters out of one, here.
TEST(TokenizerLimits, ComponentsThatMakeTextsGrowWithoutEndAreErrors) {
  const Json model = {{"type", "BPE"}, {"vocab", {{"a", 0}}}, {"merges", Json::array()}};
  const Json doubling = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};
  const auto sequence = [](const char* list, const Json& part, size_t count) {
    return Json{{"type", "Sequence"}, {list, std::vector<Json>(count, part)}};
  };
  const auto tokenizer = [&](const char* component, const Json& json) {
    return Tokenizer::from_json(tokenizer_json(model, {{component, json}}), "t.json");
  };

  const Tokenizer normalizes = tokenizer("normalizer", sequence("normalizers", doubling, 30));
  EXPECT_EQ(refusal(Kind::input, [&] { normalizes.encode("aaa"); }),
            "text: the tokenizer's components make it longer than 65584 bytes (limit: 16 times its "
            "length and 65536)");
  EXPECT_EQ(tokenizer("normalizer", sequence("normalizers", doubling, 4))
                .encode(std::string(10'000, 'a'))
                .size(),
            160'000u);

  // Each pass writes a character that is not ASCII as two.
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const Tokenizer splits = tokenizer("pre_tokenizer", sequence("pretokenizers", bytes, 30));
  refusal(Kind::input, [&] { splits.encode("\xC3\xA9"); });

  const Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const Json twice = {{"type", "TemplateProcessing"}, {"single", {text, text}}};
  const Tokenizer repeats = tokenizer("post_processor", sequence("processors", twice, 30));
  EXPECT_EQ(refusal(Kind::input, [&] { repeats.encode("aaa"); }),
            "text: the tokenizer's post-processor gives it more than 65584 ids");
  EXPECT_EQ(tokenizer("post_processor", twice).encode("aaa").size(), 6u);

  EXPECT_EQ(refusal(Kind::input, [&] { tokenizer("decoder", sequence("decoders", doubling, 30)); }),
            "t.json: key decoder: its replacements can make a text more than 64 times longer");
  EXPECT_EQ(tokenizer("decoder", sequence("decoders", doubling, 6)).decode(std::vector<int64_t>{0}),
            std::string(64, 'a'));
  EXPECT_EQ(refusal(Kind::input,
                    [&] {
                      tokenizer("normalizer", sequence("normalizers", {{"type", "NFC"}}, 256));
                    }),
            "t.json: key normalizer: has more than 256 steps");
}

// Two tokens for pairs at the two ends of a long word must not meet: leftmost first among equals.
TEST(TokenizerLimits, LongAndShortWordsMergeAlike) {
  const Tokenizer tokenizer = Tokenizer::from_json(byte_level_json({"aa", "ab", "ba"}), "t");
  std::string word;
  for (uint32_t i = 0, state = 1; i < 400; ++i) {
    state = state * 1664525 + 1013904223;
    word += state >> 31 ? 'a' : 'b';
  }
  // By hand: the ranks are aa, then ab, then ba.
  std::vector<std::string> symbols;
  for (const char c : word) symbols.emplace_back(1, c);
  for (const char* pair : {"aa", "ab", "ba"}) {
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      if (symbols[i] + symbols[i + 1] == pair) {
        symbols[i] = pair;
        symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(i) + 1);
      }
    }
  }
  std::vector<int64_t> expected;
  for (const std::string& symbol : symbols) expected.push_back(*tokenizer.id_of(symbol));
  EXPECT_EQ(tokenizer.encode(word), expected);
}

}  // namespace
}  // namespace guerdon::test
