#include "guerdon/eval/best_of_n.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/random.h"
#include "support/data.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::eval {
namespace {

using Values = std::vector<double>;

const Values kLaw{0.5, 0.3, 0.2}, kReward{0, 1, 2};

TEST(Tilt, Worked) {
  const Tilt one = tilt(kLaw, kReward, 1);
  EXPECT_NEAR(one.law[0], 0.179000, 1e-6);
  EXPECT_NEAR(one.law[1], 0.291944, 1e-6);
  EXPECT_NEAR(one.law[2], 0.529056, 1e-6);
  EXPECT_NEAR(one.mean, 1.350056, 1e-6);
  EXPECT_NEAR(one.log_z, 1.027222, 1e-6);
  EXPECT_NEAR(one.kl, 0.322834, 1e-6);
  const Tilt small = tilt_of_kl(kLaw, kReward, 0.1);
  EXPECT_NEAR(small.a, 0.546514, 1e-6);
  EXPECT_NEAR(small.mean, 1.059857, 1e-6);
  // More KL than the best outcome alone has: that outcome.
  const Tilt limit = tilt_of_kl(kLaw, kReward, 5);
  EXPECT_TRUE(std::isinf(limit.a));
  EXPECT_NEAR(limit.kl, -std::log(0.2), 1e-12);
  EXPECT_EQ(limit.mean, 2);
}

TEST(BestOfLaw, WorkedBesideTheOptimum) {
  const Values best = best_of_law(kLaw, kReward, 4);
  EXPECT_NEAR(best[0], 0.0625, 1e-12);
  EXPECT_NEAR(best[1], 0.3471, 1e-12);
  EXPECT_NEAR(best[2], 0.5904, 1e-12);
  const double kl = kl_of_laws(best, kLaw);
  EXPECT_NEAR(kl, 0.559751, 1e-6);
  EXPECT_NEAR(best_of_kl_bound(4), 0.636294, 1e-6);
  const Tilt same_kl = tilt_of_kl(kLaw, kReward, kl),
             same_mean = tilt_of_mean(kLaw, kReward, 1.5279);
  EXPECT_NEAR(same_kl.a, 1.384401, 1e-6);
  EXPECT_NEAR(same_kl.mean, 1.550165, 1e-6);
  EXPECT_NEAR(same_mean.kl, 0.529468, 1e-6);
  // Pythagoras: the gap is the divergence from the tilt of the same reward.
  EXPECT_NEAR(kl_of_laws(best, same_mean.law), 0.030282, 1e-6);
}

TEST(BestOfLaw, EdgesAndTies) {
  const Values constant{1, 1, 1};
  const Values once = best_of_law(kLaw, kReward, 1), tied = best_of_law(kLaw, constant, 16);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(once[i], kLaw[i], 1e-12);
    EXPECT_NEAR(tied[i], kLaw[i], 1e-12);
  }
  EXPECT_EQ(kl_of_laws(kLaw, kLaw), 0);
  EXPECT_NEAR(best_of_kl_bound(2), 0.193147, 1e-6);
  EXPECT_NEAR(best_of_kl_bound(8), 1.204442, 1e-6);
  EXPECT_NEAR(best_of_kl_bound(32), 2.496986, 1e-6);
  // The bound is reached by many distinct rewards of small probability.
  const Values fine(20000, 1.0 / 20000);
  Values ladder(20000);
  for (size_t i = 0; i < ladder.size(); ++i) ladder[i] = static_cast<double>(i);
  EXPECT_NEAR(kl_of_laws(best_of_law(fine, ladder, 8), fine), best_of_kl_bound(8), 1e-3);
  test::refusal(Kind::bug, [] { best_of_law(Values{0.5, 0.4}, Values{0, 1}, 2); });
  test::refusal(Kind::bug, [] { best_of_law(kLaw, kReward, 0.5); });
}

TEST(BestOfLaw, ApproachesTheTiltOfTheSameKlPerToken) {
  // m Bernoulli(0.3) tokens, n = exp(m 0.05): the reward a token rises towards that of the tilt.
  const Values token{0.7, 0.3}, reward{0, 1};
  const Tilt limit = tilt_of_kl(token, reward, 0.05);
  EXPECT_NEAR(limit.mean, 0.450278, 1e-6);
  EXPECT_NEAR(limit.a, 0.647750, 1e-6);
  const std::vector<std::pair<int, double>> expected{
      {10, 0.358996}, {50, 0.408166}, {200, 0.435169}, {800, 0.445262}};
  for (const auto& [m, mean] : expected) {
    Values law, share;
    for (int k = 0; k <= m; ++k) {
      law.push_back(std::exp(std::lgamma(m + 1) - std::lgamma(k + 1) - std::lgamma(m - k + 1) +
                             k * std::log(0.3) + (m - k) * std::log(0.7)));
      share.push_back(static_cast<double>(k) / m);
    }
    const Values best = best_of_law(law, share, std::exp(0.05 * m));
    double found = 0;
    for (size_t i = 0; i < best.size(); ++i) found += best[i] * share[i];
    EXPECT_NEAR(found, mean, 1e-6) << m;
  }
  EXPECT_NEAR(log_moment(token, reward, limit.a, 0.5), 0.256273, 1e-6);
  EXPECT_NEAR(deviation_rate(token, reward, limit.a, 0.5), 0.004969, 1e-6);
  EXPECT_NEAR(deviation_rate(token, reward, limit.a, limit.mean), 0, 1e-9);
  // Below the mean: KL of Bernoulli(0.4) from Bernoulli(0.450278).
  const double q = limit.mean;
  EXPECT_NEAR(deviation_rate(token, reward, limit.a, 0.4),
              0.4 * std::log(0.4 / q) + 0.6 * std::log(0.6 / (1 - q)), 1e-9);
}

TEST(BestOf, IsTheMeanOverAllSubsets) {
  Random random(3, Purpose::data);
  for (int trial = 0; trial < 20; ++trial) {
    Values score, value;
    for (int i = 0; i < 7; ++i) {
      score.push_back(std::floor(4 * random.next_uniform()));  // with ties
      value.push_back(random.next_uniform());
    }
    for (size_t n = 1; n <= 7; ++n) {
      double sum = 0, count = 0;
      for (unsigned subset = 0; subset < 128; ++subset) {
        if (static_cast<size_t>(__builtin_popcount(subset)) != n) continue;
        double best = -1, values = 0, ties = 0;
        for (unsigned i = 0; i < 7; ++i) {
          if (!(subset >> i & 1)) continue;
          if (score[i] > best) best = score[i], values = ties = 0;
          if (score[i] == best) values += value[i], ++ties;
        }
        sum += values / ties;
        ++count;
      }
      EXPECT_NEAR(best_of(score, value, n), sum / count, 1e-12);
    }
  }
  test::refusal(Kind::bug, [] { best_of(Values{1}, Values{1}, 2); });
}

TEST(BestOf, OfNormalRewards) {
  // Expected highest of n standard normal draws: 0.564190, 1.029375, 1.423600.
  Random random(5, Purpose::data);
  Values draws(20000);
  for (size_t i = 0; i < draws.size(); ++i) draws[i] = random.normal(i);
  EXPECT_NEAR(best_of(draws, draws, 2), 0.564190, 0.02);
  EXPECT_NEAR(best_of(draws, draws, 4), 1.029375, 0.02);
  EXPECT_NEAR(best_of(draws, draws, 8), 1.423600, 0.02);
}

std::vector<BestOfCurve> curves_of(const std::string& content, const SampleOptions& options = {}) {
  const test::TemporaryFolder folder;
  const std::vector<Samples> rows = read_samples(folder.file("s.jsonl", content), options);
  return best_of_curves(rows, {.resamples = 100});
}

TEST(BestOfCurves, AJudgeAgainstGold) {
  // The judge has the order backwards: gold falls with n; its own score rises.
  const auto curves = curves_of(R"({"scores": {"j": [3, 2, 1, 0]}, "gold": [0, 1, 2, 3]})"
                                "\n"
                                R"({"scores": {"j": [3, 2, 1, 0]}, "gold": [0, 1, 2, 3]})"
                                "\n");
  ASSERT_EQ(curves.size(), 2u);
  const BestOfCurve &judge = curves[0], &gold = curves[1];
  EXPECT_EQ(judge.judge, "j");
  EXPECT_EQ(gold.judge, "gold");
  ASSERT_EQ(judge.points.size(), 3u);  // n = 1, 2, 4
  EXPECT_NEAR(judge.points[0].gold, 1.5, 1e-12);
  EXPECT_NEAR(judge.points[2].gold, 0, 1e-12);
  EXPECT_NEAR(judge.points[2].score, 3, 1e-12);
  EXPECT_NEAR(gold.points[2].gold, 3, 1e-12);
  EXPECT_EQ(judge.best_n, 1);
  EXPECT_EQ(gold.best_n, 4);
  ASSERT_TRUE(judge.fit);
  EXPECT_LT(judge.fit->alpha, 0);
  // Four equal samples: n of them is the law of 4 outcomes, (k/4)^n - ((k-1)/4)^n.
  double kl = 0;
  for (int k = 1; k <= 4; ++k) {
    const double p = std::pow(k / 4.0, 2) - std::pow((k - 1) / 4.0, 2);
    kl += p * std::log(4 * p);
  }
  EXPECT_NEAR(judge.points[1].exact.kl, kl, 1e-12);
  for (const BestOfPoint& point : judge.points)
    EXPECT_GE(point.exact.optimum, point.exact.score - 1e-12);
  EXPECT_LE(judge.points[1].exact.kl, judge.points[1].kl);
}

TEST(BestOfCurves, FitsTheLawOfOveroptimisation) {
  const auto curves =
      curves_of(R"({"scores": [0, 1, 2, 3, 4, 5, 6, 7], "gold": [0, 1, 2, 3, 4, 5, 6, 7]})"
                "\n");
  ASSERT_TRUE(curves[0].fit);
  // At the least squares the slopes of the squared error in alpha and beta are 0.
  double in_alpha = 0, in_beta = 0;
  for (const BestOfPoint& point : curves[0].points) {
    const double d = std::sqrt(point.kl);
    const double error = point.gold - curves[0].points[0].gold -
                         d * (curves[0].fit->alpha - curves[0].fit->beta * d);
    in_alpha += d * error;
    in_beta += d * d * error;
  }
  EXPECT_NEAR(in_alpha, 0, 1e-9);
  EXPECT_NEAR(in_beta, 0, 1e-9);
}

TEST(BestOfCurves, RefusalsNameTheRow) {
  const auto says = [](const std::string& content, const std::string& what,
                       const SampleOptions& options = {}) {
    const std::string text = test::refusal(Kind::input, [&] { curves_of(content, options); });
    EXPECT_NE(text.find(what), std::string::npos) << text;
  };
  says("{\"scores\": [1, 2]}\n", "\"gold\" is missing");
  says("{\"scores\": [1, 2], \"gold\": [1, \"x\"]}\n", "must hold numbers, true, false or null");
  says("{\"scores\": [1, 2, 3], \"gold\": [1, 2]}\n", "has 3 values, gold has 2");
  says("{\"scores\": [1, 2], \"gold\": [null, 2]}\n", "no prompt has two samples");
  says("{\"gold\": [1, 2], \"selected_by\": {\"m\": 2}}\n",
       "selected_by.m must be an index below 2");
  says(
      "{\"scores\": {\"a\": [1, 2]}, \"gold\": [1, 2]}\n{\"scores\": {\"b\": [1, 2]}, \"gold\": "
      "[1, "
      "2]}\n",
      "s.jsonl:2: has no scores of judge \"a\"");
  says("{\"gold\": [1, 2]}\n", "\"length\" is missing", {.proxies = {"length"}});
}

TEST(RealRows, BestOfEightMaths) {
  GUERDON_NEEDS_DATA("reward-scores");
  const auto rows = read_samples(test::data_folder() / "reward-scores/best_of_8_math.jsonl", {});
  const auto curves = best_of_curves(rows, {.resamples = 500});
  ASSERT_EQ(curves.size(), 2u);
  // The mean over all subsets, enumerated by a short Python program.
  const std::vector<double> expected{0.91, 0.9278571428571428, 0.9361428571428572, 0.94};
  ASSERT_EQ(curves[0].points.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(curves[0].points[i].gold, expected[i], 1e-9);
  EXPECT_LT(curves[0].points[3].interval.lower, expected[3]);
  EXPECT_GT(curves[0].points[3].interval.upper, expected[3]);
}

TEST(RealRows, BestOfSixteenByLengthAndByRealModels) {
  GUERDON_NEEDS_DATA("reward-scores");
  const auto rows = read_samples(test::data_folder() / "reward-scores/best_of_16.jsonl.gz",
                                 {.proxies = {"chars"}});
  ASSERT_EQ(rows.size(), 500u);
  const auto curves = best_of_curves(rows, {.resamples = 500});
  ASSERT_EQ(curves.size(), 8u);  // chars, six models, gold
  EXPECT_EQ(curves[0].judge, "chars");
  EXPECT_EQ(curves[0].points.back().n, 11) << "eleven samples have gold";
  EXPECT_NEAR(curves[0].points.back().gold, 0.371636647, 1e-6);
  EXPECT_NEAR(curves[0].points[0].gold, 0.328057194, 1e-6);
  const auto ultra = std::find_if(curves.begin(), curves.end(), [](const BestOfCurve& c) {
    return c.judge == "openbmb/UltraRM-13b";
  });
  EXPECT_TRUE(ultra->picks_only);
  EXPECT_EQ(ultra->prompts, 202) << "its choice has gold in so many prompts";
  EXPECT_NEAR(ultra->points[0].gold, 0.43190060891089116, 1e-9);
}

}  // namespace
}  // namespace guerdon::eval
