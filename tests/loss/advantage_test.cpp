// Expected numbers: TRL 1.16.0's own code on the same rewards.
#include "guerdon/loss/advantage.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <limits>

namespace guerdon::loss {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

Tensor row(std::vector<double> values) { return at::tensor(values, at::kDouble); }

void expect_near(const Tensor& actual, const std::vector<double>& expected,
                 double tolerance = 2e-6) {
  ASSERT_EQ(actual.size(0), static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(actual[static_cast<int64_t>(i)].item<double>(), expected[i], tolerance)
        << "row " << i;
  }
}

const std::vector<int64_t> kOne = {0, 4}, kTwo = {0, 4, 8};

TEST(GroupAdvantages, OneGroup) {
  expect_near(group_advantages(row({1, 0, 0, 0}), {}, kOne),
              {1.499700, -.499900, -.499900, -.499900});
  expect_near(group_advantages(row({1, 0, 0, 0}), {}, kOne, {.scale = Scale::none}),
              {.75, -.25, -.25, -.25});
}

TEST(GroupAdvantages, EqualRewardsGiveExactlyZero) {
  const Tensor out = group_advantages(row({.1, .1, .1, .1}), {}, kOne);
  EXPECT_TRUE(at::equal(out, at::zeros({4}, at::kDouble)));
  EXPECT_EQ(zero_deviation_share(row({.1, .1, .1, .1, 1, 2, 3, 4}), kTwo), 0.5);
}

TEST(GroupAdvantages, TwoGroupsScaledByGroupOrByBatch) {
  const Tensor rewards = row({1, 0, 0, 0, 2, 4, 4, 4});
  expect_near(group_advantages(rewards, {}, kTwo),
              {1.499700, -.499900, -.499900, -.499900, -1.499850, .499950, .499950, .499950});
  expect_near(group_advantages(rewards, {}, kTwo, {.scale = Scale::batch}),
              {.397837, -.132612, -.132612, -.132612, -.795675, .265225, .265225, .265225});
}

TEST(GroupAdvantages, AnUnscoredRowIsLeftOutOfTheBaselineAndGetsZero) {
  expect_near(group_advantages(row({1, kNone, 0, 0}), {}, kOne), {1.154500, 0, -.577250, -.577250});
  // Weight 0 is the same as no score; other weights scale.
  expect_near(group_advantages(row({1, 7, 0, 0}), row({1, 0, 2, 1}), kOne),
              {1.154500, 0, -1.154500, -.577250});
}

TEST(GroupAdvantages, ASingleScoredRowTeachesNothing) {
  expect_near(group_advantages(row({kNone, 3, kNone, kNone}), {}, kOne), {0, 0, 0, 0}, 0);
  expect_near(group_advantages(row({kNone, kNone, kNone, kNone}), {}, kOne), {0, 0, 0, 0}, 0);
  EXPECT_EQ(zero_deviation_share(row({kNone, 3, kNone, kNone}), kOne), 1.0);
}

TEST(GroupAdvantages, AGroupDoesNotDependOnItsNeighbours) {
  const Tensor alone = group_advantages(row({2, 4, 4, 4}), {}, kOne);
  const Tensor beside = group_advantages(row({1, 0, 0, 0, 2, 4, 4, 4}), {}, kTwo);
  EXPECT_TRUE(at::equal(beside.slice(0, 4), alone));
}

TEST(MultiObjective, SumThenNormaliseAndNormaliseThenSum) {
  const Tensor components =
      at::stack({row({1, 0, 0, 0, 1, 1, 0, 0}), row({.5, .1, .2, .4, 0, 0, 0, 0})}, 1);
  const std::vector<double> weights = {.7, .3};
  expect_near(group_advantages(weighted_total(components, weights), {}, kTwo),
              {1.492763, -.599657, -.523105, -.370001, .865811, .865811, -.865811, -.865811});
  expect_near(normalize_then_sum(components, weights, {}, kTwo),
              {1.794501, -.883269, -.669442, -.241789, .789171, .789171, -.789171, -.789171});
}

TEST(MultiObjective, AMissingComponentIsSkippedAndARowWithNoneIsUnscored) {
  const Tensor components =
      at::stack({row({1, kNone, kNone}), row({2, 4, kNone}), row({9, 9, 9})}, 1);
  const Tensor total = weighted_total(components, {1.0, 0.5, 0.0});
  EXPECT_EQ(total[0].item<double>(), 2.0);
  EXPECT_EQ(total[1].item<double>(), 2.0);
  EXPECT_TRUE(std::isnan(total[2].item<double>()));
}

}  // namespace
}  // namespace guerdon::loss
