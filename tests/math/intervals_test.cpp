#include "guerdon/math/intervals.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "guerdon/base/random.h"
#include "support/errors.h"

namespace guerdon::math {
namespace {

TEST(NormalQuantile, KnownValues) {
  EXPECT_NEAR(normal_quantile(0.975), 1.959963984540054, 1e-9);
  EXPECT_NEAR(normal_quantile(0.5), 0, 1e-9);
  EXPECT_NEAR(normal_quantile(1e-6), -4.753424308822899, 1e-9);
}

TEST(Wilson, WorkedByHand) {
  // p = 0.8, n = 10, z^2 = 3.841459: center 0.992073, half width sqrt(0.016 + 0.00960365) z =
  // 0.313617, scale 1.384146.
  const Interval i = wilson(8, 10);
  EXPECT_NEAR(i.lower, 0.490162, 1e-5);
  EXPECT_NEAR(i.upper, 0.943318, 1e-5);
}

TEST(Wilson, StaysInsideAndIsSymmetric) {
  EXPECT_DOUBLE_EQ(wilson(0, 20).lower, 0);
  EXPECT_GT(wilson(0, 20).upper, 0.1);
  EXPECT_NEAR(wilson(3, 20).lower, 1 - wilson(17, 20).upper, 1e-12);
  EXPECT_DOUBLE_EQ(wilson(0, 0).lower, 0);
  EXPECT_DOUBLE_EQ(wilson(0, 0).upper, 1);
}

TEST(Wilson, CoversTheTruthAsOftenAsItSays) {
  int covered = 0;
  const int trials = 2000;
  for (int t = 0; t < trials; ++t) {
    Random random(1, Purpose::choose, static_cast<uint64_t>(t));
    int64_t successes = 0;
    for (int i = 0; i < 200; ++i) successes += random.next_uniform() < 0.7;
    const Interval i = wilson(static_cast<double>(successes), 200);
    covered += i.lower <= 0.7 && 0.7 <= i.upper;
  }
  // 0.95 with a standard error of 0.005.
  EXPECT_NEAR(static_cast<double>(covered) / trials, 0.95, 0.02);
}

TEST(Wilson, RefusesMoreSuccessesThanTrials) {
  EXPECT_NE(test::refusal(Kind::bug, [] { wilson(3, 2); }).find("3 successes of 2"),
            std::string::npos);
}

TEST(Bootstrap, AgreesWithTheNormalInterval) {
  const Random random(3, Purpose::data);
  std::vector<double> values;
  for (uint64_t i = 0; i < 400; ++i) values.push_back(0.1 + random.normal(i));
  const Bootstrap b = bootstrap_mean(values);
  EXPECT_NEAR(b.interval.upper - b.interval.lower, 2 * 1.96 / 20, 0.02);
  EXPECT_LT(b.interval.lower, b.mean);
  EXPECT_GT(b.interval.upper, b.mean);
}

TEST(Bootstrap, OfEqualDifferencesIsCertain) {
  const std::vector<double> better(10, 0.5), same(10, 0.0);
  EXPECT_DOUBLE_EQ(bootstrap_mean(better).share_above_zero, 1);
  EXPECT_DOUBLE_EQ(bootstrap_mean(better).interval.lower, 0.5);
  EXPECT_DOUBLE_EQ(bootstrap_mean(same).share_above_zero, 0.5);
}

TEST(Bootstrap, IsAFunctionOfItsSeed) {
  const std::vector<double> values{1, -2, 3, 0.5, -0.25};
  EXPECT_EQ(bootstrap_mean(values, {.seed = 1}).interval.lower,
            bootstrap_mean(values, {.seed = 1}).interval.lower);
  EXPECT_NE(bootstrap_mean(values, {.seed = 1}).share_above_zero,
            bootstrap_mean(values, {.seed = 2}).share_above_zero);
  EXPECT_TRUE(std::isnan(bootstrap_mean({}).mean));
}

}  // namespace
}  // namespace guerdon::math
