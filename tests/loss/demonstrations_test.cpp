// Demonstrations against samples of a policy: the numbers of the notes on DR-IRL (arXiv:2503.18991)
// and on the survey of inverse reinforcement learning (arXiv:2507.13158).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "guerdon/loss/reward_model.h"
#include "support/errors.h"

namespace guerdon::loss {
namespace {

Tensor row(std::vector<double> values) { return at::tensor(values, at::kDouble); }

TEST(Linear, WorkedByHand) {
  const PairOptions options{.loss_type = "linear", .irl_beta = 0.5};
  const PairScores scores{row({1.5, 0.2}), row({0.7, 0.6})};
  EXPECT_NEAR(pair_loss(scores, {}, options).mean().item<double>(), -0.4, 1e-12);
  PairOptions held = options;
  held.score_penalty = 0.1;  // c mean(r^2) over both responses
  EXPECT_NEAR(pair_loss(scores, {}, held)[0].item<double>(),
              -1.6 + 0.1 * (1.5 * 1.5 + 0.7 * 0.7) / 2, 1e-12);
}

TEST(Linear, StandsStillWhereThePosteriorIsTheDemonstrators) {
  // Two responses, demonstrated in 80 % and 20 % of the cases, and a policy that is the tilt of a
  // uniform reference: samples of it are weighed by their chance.
  const Tensor reward = row({std::log(4.0), 0.0}).requires_grad_();
  const Tensor policy = at::softmax(reward.detach(), 0);
  EXPECT_NEAR(policy[0].item<double>(), 0.8, 1e-12);
  const Tensor demonstrated = row({0.8, 0.2});
  const PairOptions options{.loss_type = "linear", .score_penalty = 0.0, .row_weights = true};
  // All pairs of a demonstration i and a sample j, with the product of their chances.
  const Tensor i = at::tensor({0, 0, 1, 1}, at::kLong), j = at::tensor({0, 1, 0, 1}, at::kLong);
  const Tensor weight = demonstrated.index_select(0, i) * policy.index_select(0, j);
  pair_loss({reward.index_select(0, i), reward.index_select(0, j)}, {{"weight", weight}}, options)
      .sum()
      .backward();
  EXPECT_NEAR(reward.grad().abs().max().item<double>(), 0.0, 1e-12);
}

TEST(Discriminator, WorkedByHand) {
  const PairOptions options{.loss_type = "discriminator"};
  EXPECT_NEAR(pair_loss({row({1.2}), row({-0.4})}, {}, options).item<double>(), 0.776298, 1e-6);
  EXPECT_NEAR(pair_loss({row({0}), row({0})}, {}, options).item<double>(), 2 * std::log(2.0),
              1e-12);
  // The score is the logit: log D - log(1 - D) = r.
  const double d = 1.0 / (1.0 + std::exp(-1.2));
  EXPECT_NEAR(std::log(d) - std::log(1 - d), 1.2, 1e-12);
}

TEST(Discriminator, JudgesEachResponseByItself) {
  const PairOptions options{.loss_type = "discriminator"};
  const Tensor chosen = row({1.2, 0.3}).requires_grad_(),
               rejected = row({-0.4, 2}).requires_grad_();
  pair_loss({chosen, rejected}, {{"margin", row({7, 7})}}, options).sum().backward();
  EXPECT_TRUE(at::allclose(chosen.grad(), at::sigmoid(chosen.detach()) - 1));
  EXPECT_TRUE(at::allclose(rejected.grad(), at::sigmoid(rejected.detach())));
  EXPECT_TRUE(feels_shifts(options));
  EXPECT_TRUE(fields_of(options).empty());
}

TEST(Demonstrations, WhatCannotBeMeantIsRefused) {
  const auto refused = [](const PairOptions& options) {
    return test::refusal(Kind::settings, [&] { check_pair_options(options, "reward.json"); });
  };
  EXPECT_EQ(refused({.loss_type = "linear"}),
            "reward.json: key score_penalty: must hold the scores, which nothing else does, got "
            "loss_type \"linear\"");
  EXPECT_EQ(refused({.loss_type = "discriminator", .ties = "win_tie"}),
            "reward.json: key ties: needs a probability, got loss_type \"discriminator\"");
  EXPECT_EQ(refused({.loss_type = "discriminator", .adaptive_margin = true}),
            "reward.json: key adaptive_margin: each response is judged by itself, got loss_type "
            "\"discriminator\"");
}

TEST(Demonstrations, SayWhatTheyAre) {
  EXPECT_EQ(explain({.loss_type = "discriminator"}).at(0), "-log sg(chosen) - log sg(-rejected)");
  EXPECT_EQ(explain({.loss_type = "linear", .irl_beta = 0.5, .score_penalty = 0.1}).at(0),
            "-1/irl_beta (chosen - rejected - margin) + c (chosen^2 + rejected^2) / 2  =  -1/0.5 "
            "(chosen - rejected - margin) + 0.1 (chosen^2 + rejected^2) / 2");
}

}  // namespace
}  // namespace guerdon::loss
