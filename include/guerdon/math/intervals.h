/// How sure a measured number is: intervals for shares and for means.
#pragma once

#include <cstdint>
#include <span>

namespace guerdon::math {

struct Interval {
  double lower, upper;
};

/// z with P(standard normal <= z) = p, for p in (0, 1); within 1e-9. Throws Error (Kind::bug)
/// outside.
double normal_quantile(double p);

/// Wilson's score interval for a share (Wilson 1927): does not leave [0, 1], and says something
/// useful at 0 of n and n of n.
///
///     (p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n),   p = successes / n
///
/// `successes` may be fractional (a tie counts half). [0, 1] when n = 0. Throws Error (Kind::bug)
/// when successes lies outside [0, n] or confidence outside (0, 1).
Interval wilson(double successes, int64_t n, double confidence = 0.95);

struct BootstrapOptions {
  int64_t resamples = 2000;
  double confidence = 0.95;
  uint64_t seed = 42;
};

struct Bootstrap {
  double mean = 0;
  Interval interval{0, 0};
  double share_above_zero = 0;  ///< of the resampled means; half of those at exactly 0
};

/// Percentile bootstrap of a mean (Efron 1979). Given differences of two methods on the same rows
/// it is the paired bootstrap: the first is better in `share_above_zero` of the resamples. All NaN
/// when there are no values. Throws Error (Kind::bug) when resamples < 1 or confidence lies outside
/// (0, 1).
Bootstrap bootstrap_mean(std::span<const double> values, const BootstrapOptions& options = {});

}  // namespace guerdon::math
