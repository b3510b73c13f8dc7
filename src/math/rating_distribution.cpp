#include "guerdon/math/rating_distribution.h"

#include <algorithm>
#include <cmath>

#include "guerdon/base/error.h"

namespace guerdon::math {
namespace {

/// The continued fraction of I_x(a, b) by Lentz's method; converges fast for x < (a + 1) / (a + b +
/// 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300, kExact = 1e-16;
  const auto away_from_0 = [](double v) { return std::abs(v) < kTiny ? kTiny : v; };
  double c = 1.0, d = 1.0 / away_from_0(1.0 - (a + b) * x / (a + 1.0)), fraction = d;
  const auto step = [&](double term) {
    d = 1.0 / away_from_0(1.0 + term * d);
    c = away_from_0(1.0 + term / c);
    fraction *= c * d;
    return c * d;
  };
  for (int m = 1; m < 10'000; ++m) {
    const double twice = 2.0 * m;
    step(m * (b - m) * x / ((a + twice - 1.0) * (a + twice)));
    const double change = step(-(a + m) * (a + b + m) * x / ((a + twice) * (a + twice + 1.0)));
    if (std::abs(change - 1.0) < kExact * 10) break;
  }
  return fraction;
}

}  // namespace

double incomplete_beta(double a, double b, double x) {
  GUERDON_CHECK(a > 0 && b > 0 && a <= 1e4 && b <= 1e4 && x >= 0 && x <= 1,
                "incomplete_beta: a = ", a, ", b = ", b, ", x = ", x);
  if (x == 0.0 || x == 1.0) return x;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1.0) / (a + b + 2.0)) return front * beta_fraction(a, b, x) / a;
  return 1.0 - front * beta_fraction(b, a, 1.0 - x) / b;
}

std::vector<double> rating_probabilities(double rating, const RatingDistributionOptions& o) {
  GUERDON_CHECK(o.levels >= 2 && o.concentration > 0, "rating_probabilities: ", o.levels,
                " levels, concentration ", o.concentration);
  constexpr double kMargin = 1e-4;
  const auto top = static_cast<double>(o.levels - 1);
  const double r = std::clamp(rating / top, kMargin, 1.0 - kMargin);
  const double a = o.concentration * r, b = o.concentration - a;
  std::vector<double> out;
  double below = 0.0;
  for (int64_t n = 1; n <= o.levels; ++n) {
    const double edge = n == o.levels        ? 1.0
                        : o.edges == "equal" ? static_cast<double>(n) / (top + 1.0)
                                             : (static_cast<double>(n) - 0.5) / top;
    const double up_to = incomplete_beta(a, b, edge);
    out.push_back(std::max(0.0, up_to - below));
    below = up_to;
  }
  return out;
}

}  // namespace guerdon::math
