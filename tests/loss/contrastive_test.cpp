#include "guerdon/loss/contrastive.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/gradients.h"

namespace guerdon::loss {
namespace {

Tensor matrix(std::vector<double> values, int64_t rows) {
  return at::tensor(values, at::kDouble).view({rows, -1});
}

TEST(SimCse, WorkedByHand) {
  // Cosines: of the first with (1, 0) and (0, 1) 0.6 and 0.8, of the second 1 and 0.
  const Tensor s = matrix({3, 4, 2, 0}, 2), t = matrix({1, 0, 0, 5}, 2);
  const Tensor loss = simcse(s, t, .5);
  EXPECT_NEAR(loss[0].item<double>(), -1.2 + std::log(std::exp(1.2) + std::exp(1.6)), 1e-12);
  EXPECT_NEAR(loss[1].item<double>(), -0.0 + std::log(std::exp(2.0) + std::exp(0.0)), 1e-12);
}

TEST(SimCse, IsLogNWhereNothingIsToldApart) {
  const Tensor s = at::ones({7, 3}, at::kDouble);
  EXPECT_TRUE(at::allclose(simcse(s, 2 * s, .05), at::full({7}, std::log(7.0), at::kDouble)));
}

TEST(Balanced, GivesEveryPrototypeItsShare) {
  // All are nearest to the first of two.
  const Tensor q = balanced(matrix({.9, .1, .8, .1, .7, .1, .6, .1}, 4), .05, 200);
  EXPECT_TRUE(at::allclose(q.sum(1), at::ones({4}, at::kDouble)));
  EXPECT_TRUE(at::allclose(q.sum(0), at::full({2}, 2.0, at::kDouble), 1e-6, 1e-6));
  EXPECT_GT(q[0][0].item<double>(), q[3][0].item<double>());
}

TEST(Balanced, StaysFiniteAtAnySharpness) {
  EXPECT_TRUE(balanced(matrix({1, -1, -1, 1, .5, -.5}, 3), 1e-4).isfinite().all().item<bool>());
}

TEST(Swav, IsLeastWhereBothViewsAreOfOnePrototype) {
  const Tensor prototypes = matrix({1, 0, 0, 1}, 2);
  const Tensor s = matrix({1, 0, 0, 1}, 2), swapped = matrix({0, 1, 1, 0}, 2);
  const double same = swav(s, s, prototypes, .1).sum().item<double>(),
               other = swav(s, swapped, prototypes, .1).sum().item<double>();
  EXPECT_LT(same, .01);
  EXPECT_GT(other, 30.0);
}

TEST(Contrastive, HaveTheGradientsOfCentralDifferences) {
  const Tensor s = matrix({.3, -.2, .5, .9, .1, -.4}, 3), t = matrix({.2, -.1, .4, .7, .3, -.6}, 3);
  test::check_gradients([](const std::vector<Tensor>& x) { return simcse(x[0], x[1], .3).sum(); },
                        {s, t});
  // The assignments are constants: held as they are, the rest is a cross-entropy.
  const Tensor c = matrix({.5, .1, -.2, .6}, 2).requires_grad_();
  swav(s, t, c, .3).sum().backward();
  EXPECT_GT(c.grad().abs().sum().item<double>(), 0.0);
}

}  // namespace
}  // namespace guerdon::loss
