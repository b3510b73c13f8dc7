#include "guerdon/math/steps.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "support/errors.h"

namespace guerdon::math {
namespace {

using Values = std::vector<double>;

TEST(ReduceSteps, Worked) {
  const Values steps{.9, .8, .5};
  EXPECT_NEAR(reduce_steps(steps, "product"), 0.36, 1e-9);
  EXPECT_NEAR(reduce_steps(steps, "geometric_mean"), 0.711379, 1e-6);
  EXPECT_NEAR(reduce_steps(steps, "mean"), 0.733333, 1e-6);
  EXPECT_NEAR(reduce_steps(steps, "mean_logit"), 0.767546, 1e-6);
  EXPECT_NEAR(reduce_steps(steps, "mean_odds"), 4.666667, 1e-6);
  EXPECT_EQ(reduce_steps(steps, "min"), 0.5);
  EXPECT_EQ(reduce_steps(steps, "last"), 0.5);
  EXPECT_EQ(reduce_steps(steps, "max"), 0.9);
  EXPECT_NEAR(reduce_steps(steps, "sum"), 2.2, 1e-12);
  EXPECT_EQ(reduce_steps({}, "mean"), 0.5) << "a solution without steps";
  const Values sure{1, 1};
  EXPECT_TRUE(std::isfinite(reduce_steps(sure, "mean_odds")));
  EXPECT_NE(test::refusal(Kind::settings, [&] { reduce_steps(steps, "geometric_meen"); })
                .find("geometric_mean"),
            std::string::npos);
}

void expect_near(const Values& found, const Values& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-12) << i;
}

TEST(ShapeSteps, WorkedNumbersOfClipAndDelta) {
  const Values q{.9, .6, .8, .7};
  expect_near(shape_steps(q, "none", .7), q);
  expect_near(shape_steps(q, "clip", .7), {0, -.1, 0, 0});
  expect_near(shape_steps(q, "delta", .7), {.3, -.2, .8, 0});
  expect_near(shape_steps(q, "clip_delta", .7), {.1, -.1, 0, 0});
  // The returns from each step on are the steps' scores, the last one's aside.
  const Values delta = shape_steps(q, "delta", 0);
  double rest = 0;
  Values returns(4);
  for (size_t k = 4; k-- > 0;) returns[k] = rest += delta[k];
  expect_near(returns, {.9, .6, .8, 0});
}

TEST(ShapeSteps, RepeatedGoodStepsAreWorthNothingMore) {
  Values q{.9, .6, .8, .7};
  q.insert(q.begin() + 3, 10, .8);
  const auto sum = [&](const std::string& how) {
    return reduce_steps(shape_steps(q, how, .7), "sum");
  };
  EXPECT_NEAR(sum("none"), 11, 1e-12);
  EXPECT_NEAR(sum("clip"), -.1, 1e-12);
  EXPECT_NEAR(sum("delta"), .9, 1e-12);
  EXPECT_NEAR(sum("clip_delta"), 0, 1e-12);
}

TEST(ShapeSteps, OfOneStepTwoAndNone) {
  expect_near(shape_steps(Values{.8}, "delta", 0), {0});
  expect_near(shape_steps(Values{.8, .3}, "delta", 0), {.8, 0});
  expect_near(shape_steps(Values{}, "clip_delta", 0), {});
  EXPECT_NE(test::refusal(Kind::settings, [] { shape_steps({}, "clipp", 0); }).find("\"clip\""),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon::math
