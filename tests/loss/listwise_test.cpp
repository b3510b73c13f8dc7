#include "guerdon/loss/listwise.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace guerdon::loss {
namespace {

Tensor row(std::vector<double> values) { return at::tensor(values, at::kDouble); }

constexpr double kSixDigits = 6e-7;

double loss_of(const std::vector<double>& scores, const std::vector<double>& values,
               const ListOptions& options = {}) {
  return list_loss(row(scores), values, options).item<double>();
}

TEST(PlackettLuce, WithSoftTargets) {  // GDRO
  const ListOptions soft{.list_temperature = .5};
  const Tensor scores = row({.4, .1, -.2}).requires_grad_();
  const Tensor loss = list_loss(scores, {.9, .5, .1}, soft);
  loss.backward();
  EXPECT_NEAR(loss.item<double>(), 1.630751, kSixDigits);
  const double expected[] = {-.168859, -.064097, .232956};
  for (int64_t i = 0; i < 3; ++i)
    EXPECT_NEAR(scores.grad()[i].item<double>(), expected[i], kSixDigits);
  EXPECT_NEAR(loss_of({.9 / .5 + 7, .5 / .5 + 7, .1 / .5 + 7}, {.9, .5, .1}, soft), 1.533967,
              kSixDigits)
      << "the minimum, at s = r / t + a constant";
}

TEST(PlackettLuce, OfTheOrderAlone) {  // GDRO, tau = 0
  EXPECT_NEAR(loss_of({.4, .1, -.2}, {.9, .5, .1}), 1.382745, kSixDigits);
  EXPECT_NEAR(loss_of({.4, .1, -.2}, {3, 2, 1}), 1.382745, kSixDigits);
}

TEST(PlackettLuce, OfTwoIsBradleyTerry) {
  EXPECT_NEAR(loss_of({.4, .1}, {1, 0}), .554355, kSixDigits);
}

TEST(PlackettLuce, DoesNotKnowTheOrderOfTheRowsNorWhereZeroIs) {
  const ListOptions soft{.list_temperature = .5};
  for (const ListOptions& options : {ListOptions{}, soft}) {
    const double loss = loss_of({.4, .1, -.2}, {.9, .5, .1}, options);
    EXPECT_NEAR(loss_of({.1, -.2, .4}, {.5, .1, .9}, options), loss, 1e-12);
    EXPECT_NEAR(loss_of({5.4, 5.1, 4.8}, {.9, .5, .1}, options), loss, 1e-12);
    EXPECT_NEAR(loss_of({.4, .1, -.2}, {2.9, 2.5, 2.1}, options), loss, 1e-12);
  }
  EXPECT_NEAR(loss_of({.4, .1, -.2}, {9, 5, 1}, {.list_temperature = 5}),
              loss_of({.4, .1, -.2}, {.9, .5, .1}, soft), 1e-12);
}

TEST(PlackettLuce, EqualValuesShareTheirPlace) {
  // First place: either of the two; second: the one that is left.
  const double a = .4, b = .1, c = -.2;
  const double all = std::log(std::exp(a) + std::exp(b) + std::exp(c));
  const double rest = std::log(std::exp(b) + std::exp(c));
  EXPECT_NEAR(loss_of({a, b, c}, {1, 1, 0}), all - (a + b) / 2 + rest - b, 1e-12);
  EXPECT_EQ(loss_of({a, b}, {1, 1}), 0.0);
}

TEST(OrderedChain, WeighsThePairsOfRanks) {  // ReMoDetect
  const ListOptions options{
      .loss_type = "ordered_chain", .chain_weights = {.3, 1, .3}, .score_penalty = .01};
  EXPECT_NEAR(loss_of({2, 1, -.5}, {2, 1, 0}, options), .087972, kSixDigits);
  EXPECT_NEAR(loss_of({-.5, 2, 1}, {0, 2, 1}, options), .087972, kSixDigits);
  const double plain = -std::log(1 / (1 + std::exp(-2.5)));
  EXPECT_NEAR(
      loss_of({2, 1, -.5}, {2, 1, 0}, {.loss_type = "ordered_chain", .chain_weights = {0, 3, 0}}),
      plain, 1e-12)
      << "plain Bradley-Terry of the ends";
}

TEST(OrderedChain, LeavesEqualValuesOut) {
  const ListOptions chain{.loss_type = "ordered_chain"};
  EXPECT_NEAR(loss_of({.5, .5, 0}, {1, 1, 0}, chain), std::log1p(std::exp(-.5)), 1e-12);
}

TEST(ListLoss, HasTheGradientOfItsValues) {
  for (const ListOptions& options :
       {ListOptions{}, ListOptions{.list_temperature = .7},
        ListOptions{.loss_type = "ordered_chain", .score_penalty = .1}}) {
    const std::vector<double> values = {1, 3, 3, 0};
    const Tensor at_point = row({.3, -.4, .9, .1});
    const Tensor scores = at_point.clone().requires_grad_();
    list_loss(scores, values, options).backward();
    const double h = 1e-6;
    for (int64_t i = 0; i < 4; ++i) {
      Tensor step = at::zeros({4}, at::kDouble);
      step[i] = h;
      const double slope = ((list_loss(at_point + step, values, options) -
                             list_loss(at_point - step, values, options)) /
                            (2 * h))
                               .item<double>();
      EXPECT_NEAR(scores.grad()[i].item<double>(), slope, 1e-8) << options.loss_type << i;
    }
  }
}

TEST(ListLoss, CountsThePairsInOrder) {
  EXPECT_EQ(ordered_share(row({3, 2, 1}), {9, 5, 1}), 1.0);
  EXPECT_EQ(ordered_share(row({1, 2, 3}), {9, 5, 1}), 0.0);
  EXPECT_EQ(ordered_share(row({3, 1, 2}), {1, 1, 0}), 0.5);
  EXPECT_EQ(ordered_share(row({1, 2}), {1, 1}), -1.0);
}

TEST(ListLoss, SaysWhatItIs) {
  EXPECT_EQ(explain(ListOptions{.loss_type = "ordered_chain", .score_penalty = .01}).front(),
            "mean over the pairs a before b of (-log sg(s_a - s_b) + c (s_a^2 + s_b^2) / 2)  =  "
            "mean over the pairs a before b of (-log sg(s_a - s_b) + 0.01 (s_a^2 + s_b^2) / 2)");
  EXPECT_EQ(explain(ListOptions{.list_temperature = .5})[1],
            "q_i = softmax of r / 0.5 over those from i on");
}

TEST(Separation, WorkedByHand) {  // MetaRM
  EXPECT_NEAR(separation(row({.1, .5, 1.2})).item<double>(), .448252, kSixDigits);
  EXPECT_NEAR(separation(row({1.2, .1, .5})).item<double>(), .448252, kSixDigits);
}

TEST(Separation, EqualScoresPullNowhere) {
  const Tensor scores = row({.7, .7, .7}).requires_grad_();
  const Tensor apart = separation(scores);
  apart.backward();
  EXPECT_NEAR(apart.item<double>(), 2.0 / 6, kSixDigits);
  EXPECT_EQ(scores.grad().abs().max().item<double>(), 0.0);
}

}  // namespace
}  // namespace guerdon::loss
