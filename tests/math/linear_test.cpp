#include "guerdon/math/linear.h"

#include <gtest/gtest.h>

#include "support/errors.h"

namespace guerdon::math {
namespace {

using Values = std::vector<double>;

TEST(Solve, ByHand) {
  // 2 x + y = 5, x - y = 1
  const Values x = solve(Values{2, 1, 1, -1}, Values{5, 1});
  EXPECT_NEAR(x[0], 2, 1e-12);
  EXPECT_NEAR(x[1], 1, 1e-12);
  EXPECT_NE(test::refusal(Kind::bug,
                          [] {
                            solve(Values{1, 2, 2, 4}, Values{1, 1});
                          })
                .find("singular"),
            std::string::npos);
  test::refusal(Kind::bug, [] { solve(Values{1, 2, 3}, Values{1, 1}); });
}

TEST(LeastSquares, FitsALineAndPrefersTheShortest) {
  // y = 1 + 2 x through (0, 1), (1, 3), (2, 5.3), (3, 6.7): slope 1.94, intercept 1.09.
  const Values line = least_squares(Values{1, 0, 1, 1, 1, 2, 1, 3}, Values{1, 3, 5.3, 6.7});
  EXPECT_NEAR(line[0], 1.09, 1e-12);
  EXPECT_NEAR(line[1], 1.94, 1e-12);
  const Values shortest = least_squares(Values{1, 1, 1, 1}, Values{2, 2});  // x + y = 2, twice
  EXPECT_NEAR(shortest[0], 1, 1e-12);
  EXPECT_NEAR(shortest[1], 1, 1e-12);
}

}  // namespace
}  // namespace guerdon::math
