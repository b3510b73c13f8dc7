#include "guerdon/loss/uncertain.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "guerdon/loss/reward_model.h"

namespace guerdon::loss {
namespace {

Tensor column(std::vector<double> values) { return at::tensor(values, at::kDouble).unsqueeze(1); }

TEST(ScoresInDeviations, WithProbitAreBrmesProbability) {
  const Tensor scores = scores_in_deviations({column({1.0, .2}), column({.5, .3})});
  const Tensor loss =
      pair_loss({scores.select(0, 0), scores.select(0, 1)}, {}, {.loss_type = "probit"});
  EXPECT_NEAR(std::exp(-loss.item<double>()), .914967, 6e-7);
  // Equal deviations of 1 / sqrt 2 change nothing.
  const double same = std::sqrt(.5);
  EXPECT_TRUE(
      at::allclose(scores_in_deviations({column({3, -1}), column({same, same})}), column({3, -1})));
}

TEST(DrawnScores, MoveWithMeanAndDeviation) {
  const Tensor mean = column({1, 2}).requires_grad_(), s = column({.5, .25}).requires_grad_();
  const Tensor scores = drawn_scores({mean, s}, at::tensor({-1.0, 2.0}, at::kDouble));
  EXPECT_TRUE(at::equal(scores.detach(), column({.5, 2.5})));
  scores.sum().backward();
  EXPECT_TRUE(at::equal(mean.grad(), column({1, 1})));
  EXPECT_TRUE(at::equal(s.grad(), column({-1, 2})));
}

}  // namespace
}  // namespace guerdon::loss
