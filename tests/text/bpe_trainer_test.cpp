#include "support/errors.h"
#include "text/tokenizer_checks.h"

namespace guerdon::test {
namespace {

using text::Tokenizer;
using text::train_bpe;

Json trained(const std::vector<std::string>& texts, const text::BpeTraining& options) {
  return parse_json(train_bpe(texts, options), "trained");
}

TEST(BpeTrainer, MergesTheMostFrequentPairFirst) {
  // Words: "ab" 3 times, "abc" twice, " ab" once. Pairs: ab 6, bc 2, " a" 1.
  const Json json =
      trained({"ab\nab\nab\nabc\nabc", "x ab"}, {.vocabulary_size = 258, .min_frequency = 2});
  EXPECT_EQ(json["model"]["merges"], Json::parse(R"([["a", "b"], ["ab", "c"]])"));
}

TEST(BpeTrainer, TiesGoToTheSmallerPairOfIds) {
  const Json json = trained({"cd ab", "cd ab"}, {.vocabulary_size = 258});
  // Counts: cd 2, " a" 2, ab 2. In the order of bytes the space comes first.
  EXPECT_EQ(json["model"]["merges"],
            Json::array({Json::array({"\xC4\xA0", "a"}), Json::array({"c", "d"})}));
}

TEST(BpeTrainer, StopsAtTheLowestFrequency) {
  EXPECT_EQ(
      trained({"abab"}, {.vocabulary_size = 300, .min_frequency = 3})["model"]["merges"].size(),
      0u);
  EXPECT_EQ(
      trained({"abab"}, {.vocabulary_size = 300, .min_frequency = 2})["model"]["merges"].size(),
      1u);
}

TEST(BpeTrainer, SpecialTokensAreTheFirstIds) {
  const std::vector<std::string> texts = {"hello world, hello there", "the the the"};
  const Tokenizer tokenizer = Tokenizer::from_json(
      trained(texts, {.vocabulary_size = 300, .special_tokens = {"<s>", "</s>"}}), "t");
  EXPECT_EQ(tokenizer.id_of("<s>"), 0);
  EXPECT_EQ(tokenizer.id_of("</s>"), 1);
  EXPECT_TRUE(tokenizer.is_special(1));
  const std::vector<int64_t> ids = tokenizer.encode("<s>hello there</s>");
  EXPECT_EQ(ids.front(), 0);
  EXPECT_EQ(ids.back(), 1);
  EXPECT_EQ(tokenizer.decode(ids, true), "hello there");
  EXPECT_LT(ids.size(), 8u);
}

TEST(BpeTrainer, RoundTripsTextThatItNeverSaw) {
  const Tokenizer tokenizer = Tokenizer::from_json(
      trained({"some english text"}, {.vocabulary_size = 270, .min_frequency = 1}), "t");
  const std::string text = "\xE4\xB8\x96\xE7\x95\x8C \xF0\x9F\x98\x80\r\n\t caf\xC3\xA9 \x01";
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
}

TEST(BpeTrainer, TheSameTextsGiveTheSameFile) {
  std::vector<std::string> texts;
  for (int i = 0; i < 200; ++i)
    texts.push_back(str("row ", i, " says ", i * i, " things about ", i % 7, " words"));
  EXPECT_EQ(train_bpe(texts, {.vocabulary_size = 600}), train_bpe(texts, {.vocabulary_size = 600}));
}

TEST(BpeTrainer, LongWordsAreLearnedInReasonableTime) {
  // One word of 200,000 letters: recounting it for each merge is what has to be paid, no more.
  const Json json = trained({std::string(200'000, 'a')}, {.vocabulary_size = 272});
  EXPECT_EQ(json["model"]["merges"].size(), 16u);
}

TEST(BpeTrainer, RefusesImpossibleSettings) {
  EXPECT_EQ(refusal(Kind::settings, [] { train_bpe({}, {.vocabulary_size = 255}); }),
            "vocabulary_size: must lie in [256, 16777216] (0 special tokens and 256 bytes are in "
            "it), got 255");
  EXPECT_EQ(refusal(Kind::settings,
                    [] {
                      train_bpe({}, {.special_tokens = {"x", "x"}});
                    }),
            "special_tokens: \"x\" is the name of a byte");
  EXPECT_EQ(refusal(Kind::settings,
                    [] {
                      train_bpe({}, {.special_tokens = {"<x>", "<x>"}});
                    }),
            "special_tokens: \"<x>\" is there twice");
  const std::vector<std::string> bad = {"fine", "b\xFF"};
  EXPECT_EQ(refusal(Kind::input, [&] { train_bpe(bad, {}); }), "text 2: is not UTF-8");
}

}  // namespace
}  // namespace guerdon::test
