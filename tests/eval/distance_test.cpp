#include "guerdon/eval/distance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/random.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::eval {
namespace {

using Values = std::vector<double>;

const Environment kSmall{
    .states = 2, .actions = 2, .transition = {.7, .3, .2, .8, .5, .5, .9, .1}, .discount = 0.9};
const Values kOne{1, 0, 0, 2, 0, 1, 1, 1}, kTwo{0, 1, 1, 0, 2, 0, 0, 1};

/// R + g F(s') - F(s).
Values shaped(const Values& reward, const Environment& e, const Values& f) {
  Values out = reward;
  for (size_t s = 0, i = 0; s < e.states; ++s) {
    for (size_t a = 0; a < e.actions; ++a) {
      for (size_t next = 0; next < e.states; ++next, ++i) out[i] += e.discount * f[next] - f[s];
    }
  }
  return out;
}

Values scaled(const Values& reward, double by) {
  Values out = reward;
  for (double& value : out) value *= by;
  return out;
}

TEST(Starc, Worked) {
  const Values value = policy_value(kOne, kSmall);
  EXPECT_NEAR(value[0], 9.883673, 1e-6);
  EXPECT_NEAR(value[1], 9.557143, 1e-6);
  // One number for each (s, a); here each stands twice, once for every next state.
  const Values one = canonical_reward(kOne, kSmall, Canonical::value),
               two = canonical_reward(kTwo, kSmall, Canonical::value);
  const Values expected_one{-0.376531, 0.376531, -0.308776, 0.308776},
      expected_two{-0.005102, 0.005102, 0.494082, -0.494082};
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(one[i], expected_one[i / 2], 1e-6);
    EXPECT_NEAR(two[i], expected_two[i / 2], 1e-6);
  }
  EXPECT_NEAR(reward_distance(kOne, kTwo, kSmall), 0.901689, 1e-6);
}

TEST(Starc, SeesNeitherScaleNorShapingNorWhichStateFollows) {
  const Values shaping{3, -1};
  for (const std::string& name : canonical_names()) {
    const Canonical canonical = canonical_named(name);
    const auto distance = [&](const Values& a, const Values& b) {
      return reward_distance(a, b, kSmall, canonical);
    };
    EXPECT_NEAR(distance(kOne, scaled(kOne, 5)), 0, 1e-9) << name;
    EXPECT_NEAR(distance(kOne, shaped(kOne, kSmall, shaping)), 0, 1e-9) << name;
    EXPECT_NEAR(distance(kOne, scaled(kOne, -1)), 1, 1e-9) << name;
    EXPECT_NEAR(distance(kOne, kTwo), distance(kTwo, kOne), 1e-12) << name;
  }
  // Moving reward between next states, its mean over them as it was.
  Values moved = kOne;
  moved[0] += 0.3, moved[1] -= 0.7;  // with probabilities .7 and .3
  EXPECT_NEAR(reward_distance(kOne, moved, kSmall, Canonical::value), 0, 1e-9);
  EXPECT_NEAR(reward_distance(kOne, moved, kSmall, Canonical::minimal), 0, 1e-9);
  EXPECT_GT(reward_distance(kOne, moved, kSmall, Canonical::potential), 0.01);
}

TEST(Starc, ARewardThatAsksForNothing) {
  const Values nothing = shaped(Values(8, 0.0), kSmall, {3, -1}), zero(8, 0.0);
  EXPECT_NEAR(reward_distance(nothing, kOne, kSmall), 0.5, 1e-9);
  EXPECT_NEAR(reward_distance(nothing, nothing, kSmall), 0, 1e-12);
  EXPECT_NEAR(reward_distance(zero, kOne, kSmall), 0.5, 1e-9);
}

TEST(Starc, TheMinimalRewardIsNoLongerThanAnyShapedOne) {
  const auto length = [](const Values& v) {
    double squares = 0;
    for (const double x : v) squares += x * x;
    return std::sqrt(squares);
  };
  const double least = length(canonical_reward(kOne, kSmall, Canonical::minimal));
  EXPECT_LE(least, length(canonical_reward(kOne, kSmall, Canonical::value)) + 1e-12);
  EXPECT_GT(least, 0);
}

TEST(Starc, KeepsTheTriangleInequality) {
  Random random(4, Purpose::data);
  for (const std::string& name : canonical_names()) {
    for (int trial = 0; trial < 20; ++trial) {
      Values r[3];
      for (Values& reward : r) {
        for (int i = 0; i < 8; ++i) reward.push_back(random.next_uniform() - 0.5);
      }
      const auto d = [&](int i, int j) {
        return reward_distance(r[i], r[j], kSmall, canonical_named(name));
      };
      EXPECT_LE(d(0, 2), d(0, 1) + d(1, 2) + 1e-12) << name;
    }
  }
}

TEST(ResponseDistance, Worked) {
  const std::vector<Values> a{{1, 0}, {2, 1}}, b{{.5, .2}, {0, 1}};
  EXPECT_NEAR(response_distance(a, b), 0.858516, 1e-6);
  // Shifts of a prompt and a scale change nothing; a prompt with one response says nothing.
  const std::vector<Values> moved{{6, 4}, {-4, -6}, {7}}, also{{.5, .2}, {0, 1}, {-9}};
  EXPECT_NEAR(response_distance(moved, also), 0.858516, 1e-6);
  test::refusal(Kind::bug, [&] { response_distance(a, moved); });
}

TEST(ReadTabular, ReadsAndRefuses) {
  const test::TemporaryFolder folder;
  const auto read = [&](const std::string& content) {
    return read_tabular(folder.file("t.json", content));
  };
  const TabularRewards given = read(R"({"transition": [[[0.7, 0.3], [0.2, 0.8]], [[0.5, 0.5],
      [0.9, 0.1]]], "discount": 0.9, "rewards": {"one": [[[1, 0], [0, 2]], [[0, 1], [1, 1]]],
      "two": [[[0, 1], [1, 0]], [[2, 0], [0, 1]]]}})");
  const DistanceTable table = distance_table(given.rewards, given.environment, Canonical::value);
  EXPECT_EQ(table.names, (std::vector<std::string>{"one", "two"}));
  EXPECT_NEAR(table.distances[0][1], 0.901689, 1e-6);
  EXPECT_NEAR(table.distances[1][1], 0, 1e-12);
  const auto says = [&](const std::string& content, const std::string& what) {
    const std::string text = test::refusal(Kind::input, [&] { read(content); });
    EXPECT_NE(text.find(what), std::string::npos) << text;
  };
  says(R"({"rewards": {}})", "key \"transition\" is missing");
  says(R"({"transition": [[[0.5, 0.6], [1, 0]], [[1, 0], [1, 0]]], "rewards": {}})",
       "row 0 add up to 1.1");
  says(R"({"transition": [[[1, 0], [1, 0]], [[1, 0]]], "rewards": {}})",
       "key transition[1]: must be a list of 2, got 1 entries");
  says(R"({"transition": [[[1]]], "discount": 1, "rewards": {}})",
       "key discount: must lie in [0, 1)");
  says(R"({"transition": [[[1]]], "rewards": {"a": [[["x"]]], "b": [[[1]]]}})",
       "key rewards.a[0][0][0]: must be a number");
}

}  // namespace
}  // namespace guerdon::eval
