#include "guerdon/generate/sampling.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

namespace guerdon::generate {
namespace {

Tensor logits() { return at::tensor({2.0, 1.0, 0.0, -1.0}, at::kFloat).unsqueeze(0); }

int64_t draw(double uniform, const SamplingSettings& s, const std::vector<int64_t>& seen = {}) {
  return choose(logits(), std::vector<double>{uniform}, {}, s,
                std::vector<std::vector<int64_t>>{seen})
      .token.item<int64_t>();
}

TEST(Choose, GoesThroughTheVocabularyByCumulatedChance) {
  // softmax: .6439, .2369, .0871, .0321
  EXPECT_EQ(draw(.64, {}), 0);
  EXPECT_EQ(draw(.65, {}), 1);
  EXPECT_EQ(draw(.89, {}), 2);
  EXPECT_EQ(draw(.97, {}), 3);
  EXPECT_EQ(draw(.97, {.temperature = 0}), 0);
  EXPECT_EQ(draw(.97, {.top_k = 2}), 1);
  EXPECT_EQ(draw(.97, {.top_p = .6}), 0);
  EXPECT_EQ(draw(.97, {.min_p = .3}), 1);
}

TEST(Choose, TheRecordIsTheWholeVocabularysWhateverIsKept) {
  const Tensor full = at::log_softmax(logits() / .5, -1);
  for (const SamplingSettings& s :
       {SamplingSettings{.temperature = .5}, SamplingSettings{.temperature = .5, .top_k = 2},
        SamplingSettings{.temperature = .5, .repetition_penalty = 3.0}}) {
    const auto out =
        choose(logits(), std::vector<double>{.99}, {}, s, std::vector<std::vector<int64_t>>{{0}});
    EXPECT_NEAR(out.logprob.item<double>(), full[0][out.token.item<int64_t>()].item<double>(),
                1e-6);
  }
}

TEST(Choose, ThePenaltyTakesChanceFromWhatWasSeen) {
  // 2 / 4 = 0.5 < 1: the second token becomes the likeliest; -1 * 4 = -4.
  EXPECT_EQ(draw(.5, {.temperature = 0, .repetition_penalty = 4}, {0}), 1);
  EXPECT_EQ(draw(.5, {.temperature = 0, .repetition_penalty = 4}, {}), 0);
  EXPECT_EQ(draw(.5, {.temperature = 0, .repetition_penalty = 4}, {0, 0, 1}),
            0);  // once, however often it was there
  EXPECT_EQ(draw(.9999, {.repetition_penalty = 4}, {3}), 3);
  EXPECT_EQ(draw(.98, {.repetition_penalty = 4}, {3}), 2);
}

TEST(FullVocabulary, IsFalseWhereSomethingIsCut) {
  EXPECT_TRUE(full_vocabulary({.temperature = .3}));
  for (const SamplingSettings& s :
       {SamplingSettings{.top_p = .9}, SamplingSettings{.top_k = 5}, SamplingSettings{.min_p = .1},
        SamplingSettings{.repetition_penalty = 1.1}}) {
    EXPECT_FALSE(full_vocabulary(s));
  }
}

}  // namespace
}  // namespace guerdon::generate
