#include "guerdon/math/ranking.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "guerdon/math/statistics.h"
#include "support/errors.h"

namespace guerdon::math {
namespace {

using Values = std::vector<double>;

// Five reward models: their benchmark scores, and what came of using them.
const Values kBenchmark{75.9, 71, 68.5, 64.2, 60.1}, kDownstream{.62, .66, .55, .57, .50};

TEST(Ranking, Worked) {
  EXPECT_NEAR(spearman(kBenchmark, kDownstream), 0.8, 1e-12);
  EXPECT_NEAR(ndcg(kBenchmark, kDownstream), 0.990858, 1e-6);
  const Values by_rank{4, 5, 2, 3, 1};  // 5 - rank + 1 of kDownstream
  Values gains = by_rank;
  for (double& gain : gains) gain -= 1;
  const RankBiasedOverlap overlap = rank_biased_overlap(kBenchmark, kDownstream, 0.9);
  EXPECT_NEAR(ndcg(kBenchmark, gains), 0.940138, 1e-6);
  EXPECT_NEAR(overlap.truncated, 0.282510, 1e-6);
  EXPECT_NEAR(overlap.extrapolated, 0.873000, 1e-6);
  EXPECT_NEAR(weighted_kendall(kBenchmark, kDownstream), 0.543796, 1e-6);
}

TEST(Ranking, EqualOrdersAgreeWholly) {
  Values scaled;
  for (const double x : kBenchmark) scaled.push_back(std::exp(x / 20));  // a rising map
  EXPECT_NEAR(weighted_kendall(kBenchmark, scaled), 1, 1e-12);
  EXPECT_NEAR(ndcg(kBenchmark, scaled), 1, 1e-12);
  EXPECT_NEAR(rank_biased_overlap(kBenchmark, scaled).extrapolated, 1, 1e-12);
  EXPECT_NEAR(weighted_kendall(scaled, kDownstream), weighted_kendall(kBenchmark, kDownstream), 0);
}

TEST(Ranking, NdcgOfAPage) {
  const Values places{3, 2, 1}, gains{1, 0, 1}, nothing{0, 0, 0}, equal{7, 7, 7};
  EXPECT_NEAR(ndcg(places, gains, 3), 0.919721, 1e-6);
  EXPECT_EQ(ndcg(places, gains, 1), 1);
  EXPECT_EQ(ndcg(places, nothing), 0);
  // Equal scores: every order is as likely, and each place gains 2/3.
  const double discounts = 1 + 1 / std::log2(3) + 0.5;
  EXPECT_NEAR(ndcg(equal, gains), 2.0 / 3 * discounts / (1 + 1 / std::log2(3)), 1e-12);
}

TEST(Ranking, WeightedKendallWithTies) {
  // scipy.stats.weightedtau([1, 1, 2, 3], [1, 2, 2, 4]), version 1.17
  const Values x{1, 1, 2, 3}, y{1, 2, 2, 4}, level{5, 5, 5, 5};
  EXPECT_NEAR(weighted_kendall(x, y), 0.8724024145144706, 1e-12);
  EXPECT_TRUE(std::isnan(weighted_kendall(x, level)));
}

TEST(Ranking, FindsTheMachines) {
  const Values machines{0.8, 0.4, 0.9}, people{0.1, 0.4, 0.35};
  EXPECT_NEAR(auroc(machines, people), 0.944444, 1e-6);
  // From the top: 0.9, 0.8 right; 0.4 twice, one of them right: 1/3 + 1/3 + 1/3 x 3/4.
  EXPECT_NEAR(average_precision(machines, people), 2.0 / 3 + 0.25, 1e-12);
  EXPECT_NEAR(true_positive_rate(machines, people, 0.05), 2.0 / 3, 1e-12);
  EXPECT_EQ(true_positive_rate(machines, people, 0.34), 1);
  EXPECT_TRUE(std::isnan(average_precision({}, people)));
  EXPECT_TRUE(std::isnan(true_positive_rate(machines, {}, 0.1)));
}

TEST(Ranking, RefusesSizesThatDiffer) {
  const Values two{1, 2}, three{1, 2, 3};
  test::refusal(Kind::bug, [&] { ndcg(two, three); });
  test::refusal(Kind::bug, [&] { weighted_kendall(two, three); });
  test::refusal(Kind::bug, [&] { rank_biased_overlap(three, three, 1); });
}

}  // namespace
}  // namespace guerdon::math
