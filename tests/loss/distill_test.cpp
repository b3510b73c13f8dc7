#include "guerdon/loss/distill.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "guerdon/loss/listwise.h"

namespace guerdon::loss {
namespace {

Tensor row(std::vector<double> values) { return at::tensor(values, at::kDouble); }

constexpr double kSixDigits = 6e-7;

TEST(ScoreDrift, IsReMoDetectsReplayTerm) {
  const double replay = .01 * score_drift(row({.3, -.4}), row({.1, 0})).sum().item<double>();
  EXPECT_NEAR(replay, .002, kSixDigits);
  const double chain =
      list_loss(row({2, 1, -.5}), {3, 2, 1},
                {.loss_type = "ordered_chain", .chain_weights = {.3, 1, .3}, .score_penalty = .01})
          .item<double>();
  EXPECT_NEAR(chain, .087972, kSixDigits);
  EXPECT_NEAR(chain + replay, .089972, kSixDigits);
}

TEST(ScoreDrift, IsZeroAtTheStartAndSendsNoGradientThere) {
  const Tensor start = row({.5, -2}).requires_grad_();
  const Tensor scores = row({.5, -2}).requires_grad_();
  EXPECT_EQ(score_drift(scores, start).sum().item<double>(), 0.0);
  score_drift(scores + 1, start).sum().backward();
  EXPECT_FALSE(start.grad().defined());
  EXPECT_TRUE(at::allclose(scores.grad(), row({2, 2})));
}

}  // namespace
}  // namespace guerdon::loss
