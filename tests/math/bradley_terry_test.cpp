#include "guerdon/math/bradley_terry.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "guerdon/base/random.h"
#include "guerdon/math/calibration.h"
#include "support/errors.h"

namespace guerdon::math {
namespace {

TEST(Logistic, InterceptAloneIsTheLogOdds) {
  const std::vector<double> ones{1, 1, 1, 1}, y{1, 1, 1, 0};
  const LogisticFit fit = logistic_fit(ones, y, {.ridge = 1e-12});
  EXPECT_TRUE(fit.converged);
  EXPECT_NEAR(fit.coefficients[0], std::log(3.0), 1e-6);
  // Fisher information n p (1 - p) = 0.75
  EXPECT_NEAR(fit.standard_errors[0], 1 / std::sqrt(0.75), 1e-5);
  EXPECT_NEAR(fit.log_loss, -(3 * std::log(0.75) + std::log(0.25)) / 4, 1e-9);
}

TEST(Logistic, RecoversCoefficientsWithinTheirErrors) {
  const Random random(2, Purpose::data);
  std::vector<double> x, y;
  for (uint64_t i = 0; i < 4000; ++i) {
    const double a = random.normal(3 * i), b = random.normal(3 * i + 1);
    x.insert(x.end(), {a, b});
    y.push_back(random.uniform(1'000'000 + i) < sigmoid(0.8 * a - 0.5 * b) ? 1 : 0);
  }
  const LogisticFit fit = logistic_fit(x, y);
  EXPECT_NEAR(fit.coefficients[0], 0.8, 4 * fit.standard_errors[0]);
  EXPECT_NEAR(fit.coefficients[1], -0.5, 4 * fit.standard_errors[1]);
  EXPECT_LT(fit.standard_errors[0], 0.05);
}

TEST(Logistic, StaysFiniteOnSeparableData) {
  const LogisticFit fit =
      logistic_fit(std::vector<double>{1, -1}, std::vector<double>{1, 0}, {.ridge = 0.01});
  EXPECT_TRUE(fit.converged);
  EXPECT_TRUE(std::isfinite(fit.coefficients[0]));
  EXPECT_GT(fit.coefficients[0], 1);
}

TEST(BradleyTerry, TwoItemsAreTheLogOddsApart) {
  const std::vector<Comparison> games{{0, 1, 3.0}, {1, 0, 1.0}};
  const std::vector<double> s = bradley_terry_fit(2, games, {.ridge = 1e-9});
  EXPECT_NEAR(s[0] - s[1], std::log(3.0), 1e-5);
  EXPECT_NEAR(s[0] + s[1], 0, 1e-9);
}

TEST(BradleyTerry, OrdersAChainAndLeavesStrangersAtZero) {
  const std::vector<Comparison> games{{0, 1, 3}, {1, 0, 1}, {1, 2, 3}, {2, 1, 1}};
  const std::vector<double> s = bradley_terry_fit(4, games, {.ridge = 1e-9});
  // By symmetry of the chain, two steps of log 3.
  EXPECT_NEAR(s[0] - s[2], 2 * std::log(3.0), 1e-5);
  EXPECT_DOUBLE_EQ(s[3], 0);
}

TEST(BradleyTerry, RefusesUnknownItems) {
  const std::vector<Comparison> games{{0, 5}};
  EXPECT_NE(
      test::refusal(Kind::bug, [&] { bradley_terry_fit(2, games); }).find("0 against 5 of 2 items"),
      std::string::npos);
}

}  // namespace
}  // namespace guerdon::math
