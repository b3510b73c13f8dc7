#include "guerdon/math/rating_distribution.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace guerdon::math {
namespace {

void expect_near(const std::vector<double>& found, const std::vector<double>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 6e-7) << i;
}

TEST(IncompleteBeta, IsWhatIsKnownInClosedForm) {
  for (const double x : {0.0, 1e-9, 0.1, 0.5, 0.73, 0.999, 1.0}) {
    EXPECT_NEAR(incomplete_beta(1, 1, x), x, 1e-12);
    EXPECT_NEAR(incomplete_beta(3, 1, x), x * x * x, 1e-12);
    EXPECT_NEAR(incomplete_beta(1, 3, x), 1 - std::pow(1 - x, 3), 1e-12);
    EXPECT_NEAR(incomplete_beta(0.5, 0.5, x), 2 / M_PI * std::asin(std::sqrt(x)), 1e-12);
    EXPECT_NEAR(incomplete_beta(18, 6, x) + incomplete_beta(6, 18, 1 - x), 1, 1e-12);
  }
  EXPECT_NEAR(incomplete_beta(2000, 2000, 0.5), 0.5, 1e-10);
}

TEST(RatingProbabilities, WorkedNumbersOfHelpSteer2) {
  expect_near(rating_probabilities(3), {0.000000, 0.000081, 0.085799, 0.855429, 0.058691});
  expect_near(rating_probabilities(3, {.edges = "equal"}),
              {0.000000, 0.000216, 0.053753, 0.640719, 0.305313});
  expect_near(rating_probabilities(2), {0.000005, 0.109019, 0.781952, 0.109019, 0.000005});
}

TEST(RatingProbabilities, AddUpToOneWhereverTheRatingLies) {
  for (const double rating : {-3.0, 0.0, 0.01, 1.7, 4.0, 9.0}) {
    const std::vector<double> p = rating_probabilities(rating, {.levels = 7, .concentration = 3});
    EXPECT_NEAR(std::accumulate(p.begin(), p.end(), 0.0), 1.0, 1e-12) << rating;
  }
}

}  // namespace
}  // namespace guerdon::math
