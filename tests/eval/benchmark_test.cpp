#include "guerdon/eval/benchmark.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/random.h"
#include "support/errors.h"

namespace guerdon::eval {
namespace {

TEST(Benchmark, CountsByHand) {
  const std::vector<ScoredPair> pairs{{2, 1, 10, 5, {{"kind", "a"}}},
                                      {0, 1, 5, 10, {{"kind", "a"}}},
                                      {3, 0, 7, 7, {{"kind", "b"}}},
                                      {1, 1, 9, 3, {{"kind", "b"}}}};
  const PairBenchmark r = benchmark(pairs);
  EXPECT_EQ(r.pairs, 4);
  EXPECT_EQ(r.ties, 1);
  EXPECT_DOUBLE_EQ(r.accuracy, 0.5);  // the tie is wrong
  EXPECT_DOUBLE_EQ(r.mean_chosen, 1.5);
  EXPECT_DOUBLE_EQ(r.mean_rejected, 0.75);
  EXPECT_DOUBLE_EQ(r.mean_margin, 0.75);
  // Of the three unequal lengths the label takes the longer twice, the judge twice (pairs 1 and 2:
  // the rejected is longer).
  EXPECT_DOUBLE_EQ(r.label_prefers_longer, 2.0 / 3);
  EXPECT_DOUBLE_EQ(r.judge_prefers_longer, 2.0 / 3);
  ASSERT_EQ(r.subsets.size(), 2u);
  EXPECT_EQ(r.subsets[1].value, "b");
  EXPECT_DOUBLE_EQ(r.subsets[1].accuracy, 0.5);
  EXPECT_DOUBLE_EQ(r.subsets[1].mean_margin, 1.5);
  EXPECT_FALSE(r.truth);
}

TEST(Benchmark, ATrueJudgeReachesTheBestAccuracyAndIsCalibrated) {
  // True rewards, and labels drawn by Bradley-Terry at temperature 1: the best accuracy is that of
  // the truth itself.
  const Random reward(1, Purpose::data, 0), coin(1, Purpose::data, 1);
  std::vector<ScoredPair> pairs;
  for (uint64_t i = 0; i < 5000; ++i) {
    double a = 1.5 * reward.normal(2 * i), b = 1.5 * reward.normal(2 * i + 1);
    if (coin.uniform(i) >= math::sigmoid(a - b)) std::swap(a, b);
    pairs.push_back({.chosen = a, .rejected = b, .true_chosen = a, .true_rejected = b});
  }
  const PairBenchmark r = benchmark(pairs);
  ASSERT_TRUE(r.truth);
  EXPECT_DOUBLE_EQ(r.accuracy, r.truth->best_accuracy);
  EXPECT_DOUBLE_EQ(r.truth->agreement, 1);
  EXPECT_NEAR(r.truth->rank_correlation, 1, 1e-12);
  EXPECT_LT(r.ece, 0.02);
  EXPECT_NEAR(r.temperature, 1, 0.1);
  EXPECT_LE(r.calibrated_log_loss, r.log_loss);
  EXPECT_TRUE(r.interval.lower < r.accuracy && r.accuracy < r.interval.upper);
}

TEST(Benchmark, SeesALoveOfLength) {
  // Labels follow quality alone; the judge adds length to it.
  const Random draw(2, Purpose::data, 0), coin(2, Purpose::data, 1);
  std::vector<ScoredPair> fond, fair;
  for (uint64_t i = 0; i < 3000; ++i) {
    double quality_a = draw.normal(4 * i), quality_b = draw.normal(4 * i + 1),
           a = 50 + 10 * draw.normal(4 * i + 2), b = 50 + 10 * draw.normal(4 * i + 3);
    if (coin.uniform(i) >= math::sigmoid(quality_a - quality_b))
      std::swap(quality_a, quality_b), std::swap(a, b);
    fair.push_back({quality_a, quality_b, a, b});
    fond.push_back({quality_a + a / 10, quality_b + b / 10, a, b});
  }
  const PairBenchmark r = benchmark(fond), honest = benchmark(fair);
  EXPECT_GT(r.length_correlation, 0.5);
  EXPECT_LT(r.length_effect, -3 * r.length_effect_error);
  EXPECT_LT(std::abs(honest.length_effect), 3 * honest.length_effect_error);
}

TEST(Benchmark, JsonAndTextTellTheSame) {
  const std::vector<ScoredPair> pairs{{1, 0, 3, 3, {{"set", "x"}}, 0.5, 0.25},
                                      {2, 3, 3, 3, {{"set", "y"}}, 1.0, 0.0}};
  const PairBenchmark r = benchmark(pairs);
  const Json json = benchmark_json(r);
  EXPECT_DOUBLE_EQ(json["accuracy"].get<double>(), 0.5);
  EXPECT_DOUBLE_EQ(json["best_accuracy"].get<double>(), 1);
  EXPECT_TRUE(json["length_correlation"].is_null()) << "lengths do not vary";
  EXPECT_EQ(json["bins"].size(), 10u);
  EXPECT_EQ(json["subsets"].size(), 2u);
  const std::string text = benchmark_text(r);
  EXPECT_NE(text.find("50.0 %"), std::string::npos);
  EXPECT_NE(text.find("by set"), std::string::npos);
}

TEST(Benchmark, RefusesNothingAndNonsense) {
  test::refusal(Kind::bug, [] { benchmark({}); });
  const std::vector<ScoredPair> bad{{NAN, 0}};
  EXPECT_NE(test::refusal(Kind::bug, [&] { benchmark(bad); }).find("nan"), std::string::npos);
}

}  // namespace
}  // namespace guerdon::eval
