#include "guerdon/loss/sources.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace guerdon::loss {
namespace {

Tensor row(std::vector<double> values) { return at::tensor(values, at::kDouble); }

TEST(HeadGradients, AreBradleyTerrysInClosedForm) {
  const Tensor chosen = row({1, 2, 0, 1, 3, -1}).view({3, 2}),
               rejected = row({0, 1, 1, 1, 2, 2}).view({3, 2});
  const PairScores scores{row({.5, -.2, 1}), row({0, .4, 1})};
  const Tensor source = at::tensor({0, 2, 0}, at::kLong);
  const Tensor g = head_gradients(scores, {}, {}, chosen, rejected, source, 3);
  const auto slope = [](double d) { return -1 / (1 + std::exp(d)); };
  // Pairs 0 and 2 are of source 0: differences of scores .5 and 0, of states (1, 1) and (1, -3).
  const double a = slope(.5), b = slope(0), c = slope(-.6);
  const Tensor expected = row({(a + b) / 2, (a - 3 * b) / 2, 0, 0, -c, 0}).view({3, 2});
  EXPECT_TRUE(at::allclose(g, expected)) << g;
}

TEST(HeadGradients, AreThoseOfTheHeadItself) {
  const Tensor chosen = row({1, 2, 0, 1}).view({2, 2}), rejected = row({0, 1, 1, 1}).view({2, 2});
  const Tensor head = row({.3, -.7}).requires_grad_();
  const PairScores scores{chosen.matmul(head), rejected.matmul(head)};
  const PairOptions options{
      .loss_type = "probit", .center_rewards_coefficient = .1, .constant_margin = .2};
  pair_loss(scores, {}, options).mean().backward();
  const Tensor g =
      head_gradients(scores, {}, options, chosen, rejected, at::zeros({2}, at::kLong), 1);
  EXPECT_TRUE(at::allclose(g[0], head.grad()));
}

TEST(SourceWeights, WorkedByHand) {  // MORE
  const Tensor g = row({2, 0, 9, 9, 0, 1}).view({3, 2});
  const std::vector<double> found = source_weights(g, {true, false, true}, false);
  EXPECT_NEAR(found[0], 2 * .2, 1e-9);
  EXPECT_EQ(found[1], 0.0);
  EXPECT_NEAR(found[2], 2 * .8, 1e-9);
  const std::vector<double> even = source_weights(g, {true, false, true}, true);
  EXPECT_NEAR(even[0], 1, 1e-9);
  EXPECT_NEAR(even[2], 1, 1e-9);
}

TEST(SourceWeights, OfOneSourceOrOfNoneThatAskForAnything) {
  EXPECT_EQ(source_weights(row({0, 3}).view({1, 2}), {true}, true), (std::vector<double>{1}));
  const std::vector<double> none = source_weights(at::zeros({2, 3}), {true, true}, true);
  EXPECT_NEAR(none[0] + none[1], 2, 1e-12);
  EXPECT_EQ(source_weights(at::zeros({2, 3}), {false, false}, true), (std::vector<double>{0, 0}));
}

}  // namespace
}  // namespace guerdon::loss
