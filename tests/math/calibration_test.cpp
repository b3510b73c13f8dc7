#include "guerdon/math/calibration.h"

#include <gtest/gtest.h>

#include <cmath>

#include "guerdon/base/random.h"
#include "support/errors.h"

namespace guerdon::math {
namespace {

/// Margins drawn so that sigmoid(scale * margin) is the true probability of a positive one.
std::vector<double> margins(double scale, uint64_t count) {
  const Random size(5, Purpose::data, 0), coin(5, Purpose::data, 1);
  std::vector<double> out;
  for (uint64_t i = 0; i < count; ++i) {
    const double margin = std::abs(2 * size.normal(i));
    out.push_back(coin.uniform(i) < sigmoid(scale * margin) ? margin : -margin);
  }
  return out;
}

TEST(Sigmoid, DoesNotOverflow) {
  EXPECT_DOUBLE_EQ(sigmoid(0), 0.5);
  EXPECT_DOUBLE_EQ(sigmoid(1000), 1);
  EXPECT_DOUBLE_EQ(sigmoid(-1000), 0);
  EXPECT_DOUBLE_EQ(softplus(-1000), 0);
  EXPECT_DOUBLE_EQ(softplus(1000), 1000);
  EXPECT_NEAR(softplus(0), 0.6931471805599453, 1e-15);
}

TEST(Calibration, FoldsMargins) {
  const Predictions p = pair_predictions(std::vector<double>{0.0, 1.0, -2.0});
  EXPECT_EQ(p.outcome, (std::vector<double>{0.5, 1, 0}));
  EXPECT_DOUBLE_EQ(p.probability[0], 0.5);
  EXPECT_NEAR(p.probability[1], 0.731059, 1e-6);
  EXPECT_NEAR(p.probability[2], 0.880797, 1e-6);
}

TEST(Calibration, BinsByHand) {
  const Predictions p{{0.55, 0.58, 0.92, 1.0}, {1, 0, 1, 1}};
  const auto bins = reliability_bins(p, {.bins = 5, .lower = 0.5, .upper = 1});
  ASSERT_EQ(bins.size(), 5u);
  EXPECT_EQ(bins[0].count, 2);
  EXPECT_NEAR(bins[0].probability, 0.565, 1e-12);
  EXPECT_DOUBLE_EQ(bins[0].outcome, 0.5);
  EXPECT_TRUE(std::isnan(bins[2].outcome));
  EXPECT_EQ(bins[4].count, 2);  // 1.0 belongs to the last
  // (2 |0.565 - 0.5| + 2 |0.96 - 1|) / 4
  EXPECT_NEAR(expected_calibration_error(bins), 0.0525, 1e-12);
  EXPECT_NEAR(maximum_calibration_error(bins), 0.065, 1e-12);
  // 0.45^2 + 0.58^2 + 0.08^2 + 0 over 4
  EXPECT_NEAR(brier_score(p), 0.136325, 1e-12);
}

TEST(Calibration, EqualCountBinsKeepEqualClaimsTogether) {
  const Predictions p{{0.6, 0.6, 0.6, 0.7, 0.8}, {1, 0, 1, 1, 1}};
  const auto bins = equal_count_bins(p, 2);
  ASSERT_EQ(bins.size(), 2u);
  EXPECT_EQ(bins[0].count, 3);
  EXPECT_EQ(bins[1].count, 2);
  const auto many = equal_count_bins(p, 100);
  EXPECT_EQ(many.size(), 3u);
}

TEST(Calibration, ATrueModelIsCalibratedAndAnOverconfidentOneIsNot) {
  const auto ece = [](const std::vector<double>& m) {
    return expected_calibration_error(
        reliability_bins(pair_predictions(m), {.bins = 10, .lower = 0.5, .upper = 1}));
  };
  EXPECT_LT(ece(margins(1.0, 20000)), 0.015);
  EXPECT_GT(ece(margins(0.3, 20000)), 0.1);
}

TEST(Temperature, FindsTheScaleThatMadeTheData) {
  EXPECT_NEAR(fit_temperature(margins(0.5, 20000)), 2.0, 0.1);
  EXPECT_NEAR(fit_temperature(margins(2.0, 20000)), 0.5, 0.03);
}

TEST(Temperature, LowersTheLossAndIsStationary) {
  const auto m = margins(0.4, 500);
  const double t = fit_temperature(m);
  EXPECT_LT(pair_log_loss(m, t), pair_log_loss(m));
  EXPECT_LE(pair_log_loss(m, t), pair_log_loss(m, t * 1.01));
  EXPECT_LE(pair_log_loss(m, t), pair_log_loss(m, t / 1.01));
}

TEST(Temperature, EndsWhereThereIsNoOptimum) {
  EXPECT_DOUBLE_EQ(fit_temperature(std::vector<double>{1, 2, 0.5}), 1e-3);
  EXPECT_DOUBLE_EQ(fit_temperature(std::vector<double>{-1, -2}), 1e3);
  EXPECT_DOUBLE_EQ(fit_temperature({}), 1e3);
}

TEST(Isotonic, PoolsViolatorsByHand) {
  const std::vector<double> x{1, 2, 3, 4}, y{1, 3, 2, 4};
  const MonotoneFit fit = isotonic_fit(x, y);
  EXPECT_DOUBLE_EQ(fit(1), 1);
  EXPECT_DOUBLE_EQ(fit(2), 2.5);
  EXPECT_DOUBLE_EQ(fit(2.5), 2.5);
  EXPECT_DOUBLE_EQ(fit(3), 2.5);
  EXPECT_DOUBLE_EQ(fit(3.5), 3.25);
  EXPECT_DOUBLE_EQ(fit(99), 4);
  EXPECT_DOUBLE_EQ(fit(-99), 1);
}

TEST(Isotonic, WeighsAndPoolsEqualX) {
  const std::vector<double> x{1, 1, 2}, y{4, 0, 1}, weights{1, 3, 2};
  // x = 1 has mean 1 with weight 4.
  const MonotoneFit fit = isotonic_fit(x, y, weights);
  EXPECT_DOUBLE_EQ(fit(1), 1);
  EXPECT_DOUBLE_EQ(fit(2), 1);
}

TEST(Isotonic, IsMonotoneAndKeepsTheMean) {
  const Random random(9, Purpose::data);
  std::vector<double> x, y;
  double sum = 0;
  for (uint64_t i = 0; i < 200; ++i) {
    x.push_back(random.uniform(i));
    y.push_back(x.back() + 0.5 * random.normal(i + 1000));
    sum += y.back();
  }
  const MonotoneFit fit = isotonic_fit(x, y);
  double fitted = 0;
  for (const double at : x) fitted += fit(at);
  EXPECT_NEAR(fitted, sum, 1e-9);
  for (double at = 0; at < 1; at += 0.01) EXPECT_LE(fit(at), fit(at + 0.01));
}

TEST(Calibration, RefusesUnequalSizes) {
  EXPECT_NE(test::refusal(Kind::bug,
                          [] {
                            brier_score({{0.5}, {}});
                          })
                .find("1 probabilities and 0 outcomes"),
            std::string::npos);
}

TEST(Calibration, WorkedByMore) {
  // MORE, arXiv:2312.07401: claims and outcomes by hand, at 5 and 10 bins, then both orders.
  const Predictions one{{.92, .75, .65, .35}, {1, 1, 0, 1}};
  Predictions both = one;
  for (size_t i = 0; i < 4; ++i) {
    both.probability.push_back(1 - one.probability[i]);
    both.outcome.push_back(1 - one.outcome[i]);
  }
  const auto errors = [](const Predictions& p, int64_t count) {
    const auto bins = reliability_bins(p, {.bins = count});
    return std::vector<double>{expected_calibration_error(bins), average_calibration_error(bins),
                               maximum_calibration_error(bins)};
  };
  const auto expect = [&](const std::vector<double>& found, double ece, double ace, double mce) {
    EXPECT_NEAR(found[0], ece, 1e-9);
    EXPECT_NEAR(found[1], ace, 1e-9);
    EXPECT_NEAR(found[2], mce, 1e-9);
  };
  expect(errors(one, 5), 0.2825, 0.31, 0.65);
  expect(errors(one, 10), 0.4075, 0.4075, 0.65);
  expect(errors(both, 5), 0.2825, 0.215, 0.35);
}

TEST(QuantileFit, IsTheMeanWithinBinsOfEqualCount) {
  const std::vector<double> x{4, 1, 3, 2, 5, 5}, y{1, 0, 0, 1, 1, 0};
  const StepFit fit = quantile_fit(x, y, 3);  // {1, 2}, {3, 4}, {5, 5}
  EXPECT_EQ(fit.upper, (std::vector<double>{2, 4, 5}));
  EXPECT_EQ(fit.value, (std::vector<double>{0.5, 0.5, 0.5}));
  EXPECT_EQ(quantile_fit(x, y, 6).value, (std::vector<double>{0, 1, 0, 1, 0.5}));
  const StepFit fine = quantile_fit(x, y, 6);
  EXPECT_EQ(fine(-9), 0);
  EXPECT_EQ(fine(2), 1);
  EXPECT_EQ(fine(2.5), 0);
  EXPECT_EQ(fine(99), 0.5);
  test::refusal(Kind::bug, [] { quantile_fit({}, {}); });
}

}  // namespace
}  // namespace guerdon::math
