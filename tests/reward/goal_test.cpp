#include "guerdon/reward/goal.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <cmath>

#include "reward/rollouts.h"
#include "support/errors.h"

namespace guerdon {
namespace {

using test::refusal, test::reward, test::rollout, test::score;

// The number in a field of the row, by its name.
struct Column final : Reward {
  struct Options {
    std::string field = "r";
  };
  explicit Column(const Options& options) : options(options) {}
  Scores score(const RewardBatch& batch) override {
    return score_each(batch, [&](const Rollout& r) -> std::optional<float> {
      if (!r.example->fields.has(options.field)) return std::nullopt;
      return static_cast<float>(r.example->fields.number(options.field));
    });
  }
  Options options;
};
void describe(SettingList& field, Column::Options& o) { field("field", o.field, "Which"); }
GUERDON_REGISTER_REWARD("test_column", Column);

// The numbers of the notes on arXiv:2412.07177.

TEST(Goal, WorkedByHand) {
  const std::vector<double> r = {0.6, 0.8}, d = {1, 1};
  EXPECT_NEAR(Goal::value(r, d, {.min_cosine = 0.98, .edge = 0.2}), 0.626099, 1e-6);
  EXPECT_NEAR(Goal::value(r, d, {.min_cosine = 0.98, .edge = 0.1}), 0.442719, 1e-6);
  EXPECT_NEAR(Goal::value(r, d, {.min_cosine = 0.98, .edge = 0.1, .beta = 2}), 0.196, 1e-6);
  EXPECT_EQ(Goal::value(r, d, {.min_cosine = 0.995}), 0.0);
}

TEST(Goal, AtItsLimits) {
  const std::vector<double> r = {0.6, 0.8};
  // On the goal it is the sum; at the edge of the region `edge` of it. Hindsight: what was reached
  // is its own goal.
  EXPECT_NEAR(Goal::value(r, r, {}), 1.4, 1e-6);
  EXPECT_NEAR(Goal::value(r, std::vector<double>{1, 1}, {.min_cosine = 1.4 / std::sqrt(2) - 1e-12}),
              0.14, 1e-6);
  EXPECT_EQ(Goal::value(std::vector<double>{0, 0}, r, {}), 0.0);
  EXPECT_EQ(Goal::value(std::vector<double>{-3, 1}, std::vector<double>{0, 1}, {}), 1.0);
}

TEST(Goal, IsTheRowsOrTheSettings) {
  const auto goal = reward(R"({"use": "goal", "goal": [1, 1], "edge": 0.2, "of": [
      {"use": "test_column", "name": "a", "field": "a"},
      {"use": "test_column", "name": "b", "field": "b"}]})");
  const Scores s = score(*goal, {rollout("x", {{"a", 0.6}, {"b", 0.8}}),
                                 rollout("y", {{"a", 0.6}, {"b", 0.8}, {"goal", {0.6, 0.8}}}),
                                 rollout("z", {{"a", 0.6}})});
  EXPECT_NEAR(s.total[0].item<float>(), 0.626099, 1e-6);
  EXPECT_NEAR(s.total[1].item<float>(), 1.4, 1e-6);
  EXPECT_EQ(s.verdicts[2], Verdict::no_opinion);
  EXPECT_EQ(refusal(Kind::settings,
                    [] {
                      reward(R"({"use": "goal", "goal": [1], "of": [{"use": "length"},
                                    {"use": "brevity"}]})");
                    }),
            "reward goal: key goal: has 1 numbers for 2 rewards");
}

const Constrained::Options kLimits{.rates = {0.1, 0.1}};

TEST(Constrained, WorkedByHand) {
  std::vector<double> z = {0.02, 0.02, 0.02};
  const std::vector<double> costs = {0.30, 0.05};
  const std::vector<double> down = Constrained::gradient(z, costs, kLimits);
  const std::vector<double> expected = {0.016667, -0.05, 0.033333};
  for (size_t k = 0; k < 3; ++k) EXPECT_NEAR(down[k], expected[k], 1e-6);
  for (size_t k = 0; k < 3; ++k) z[k] -= 10 * down[k];
  const std::vector<double> lambda = Constrained::multipliers(z),
                            moved = {0.263559, 0.513343, 0.223098};
  for (size_t k = 0; k < 3; ++k) EXPECT_NEAR(lambda[k], moved[k], 1e-6);
  EXPECT_NEAR(lambda[0] * 1 - lambda[1] * 1 - lambda[2] * 0, -0.249784, 1e-6);
}

TEST(Constrained, AnUnknownCostAndALowerBound) {
  const std::vector<double> z = {0, 0};
  const double nan = std::nan("");
  EXPECT_EQ(Constrained::gradient(z, std::vector<double>{nan}, {.rates = {0.1}})[1], 0.0);
  // Too rare for a lower bound: its multiplier rises too.
  EXPECT_LT(
      Constrained::gradient(z, std::vector<double>{0.0}, {.rates = {0.5}, .bounds = {"lower"}})[1],
      0.0);
}

TEST(Constrained, WhatIsViolatedWeighsMoreStepByStep) {
  const auto limits = reward(R"({"use": "constrained", "rates": [0.1, 0.5], "every": 2,
      "bounds": ["upper", "lower"], "bootstrap": 2, "learning_rate": 10, "of": [
      {"use": "test_column", "name": "r"}, {"use": "test_column", "name": "bad", "field": "bad"},
      {"use": "test_column", "name": "done", "field": "done"}]})");
  const std::vector<Rollout> rows = {rollout("x", {{"r", 1}, {"bad", 1}, {"done", 0}})};
  const auto multiplier = [&](const char* name) {
    return score(*limits, rows).counts.at(std::string("multiplier/") + name);
  };
  const double before = multiplier("bad");
  EXPECT_NEAR(before, 1.0 / 3, 1e-12);
  EXPECT_NEAR(score(*limits, rows).total[0].item<float>(), 0.0, 1e-6);  // 1/3 - 1/3 + 0
  Services services;
  const std::vector<int64_t> groups = {0, 1};
  const RewardBatch batch{rows, groups, 0, services};
  const Scores scores = limits->score(batch);
  limits->update({batch, scores, {}});
  EXPECT_EQ(multiplier("bad"), before);
  limits->update({batch, scores, {}});
  EXPECT_GT(multiplier("bad"), before);
  EXPECT_GT(multiplier("done"), multiplier("r"));
  // What is to be learnt first keeps its weight.
  const double lambda = std::max(multiplier("r"), multiplier("done"));
  EXPECT_NEAR(score(*limits, rows).total[0].item<float>(), lambda - multiplier("bad"), 1e-6);
}

TEST(Constrained, RefusesWhatDoesNotFit) {
  EXPECT_EQ(
      refusal(Kind::settings,
              [] {
                reward(R"({"use": "constrained", "rates": [0.1, 0.2], "of": [
                                    {"use": "length"}, {"use": "brevity"}]})");
              }),
      "reward constrained: key rates: has 2 entries for 1 costs, the rewards after the first");
  EXPECT_EQ(refusal(Kind::settings,
                    [] {
                      reward(R"({"use": "constrained", "rates": [0.1], "bounds": ["over"],
                                    "of": [{"use": "length"}, {"use": "brevity"}]})");
                    }),
            "reward constrained: key bounds: must be upper or lower, got \"over\"");
}

}  // namespace
}  // namespace guerdon
