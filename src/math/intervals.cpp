#include "guerdon/math/intervals.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/base/random.h"
#include "guerdon/math/statistics.h"

namespace guerdon::math {
namespace {

double normal_cdf(double z) { return std::erfc(-z / std::numbers::sqrt2) / 2; }

}  // namespace

double normal_quantile(double p) {
  GUERDON_CHECK(p > 0 && p < 1, "normal_quantile: p must lie in (0, 1), got ", p);
  // Symmetric, so that the small tail is the one that is computed: 1 - p loses digits, p does not.
  if (p > 0.5) return -normal_quantile(1 - p);
  double low = -40, high = 0;  // P(z <= -40) underflows
  for (int i = 0; i < 100 && high - low > 1e-12; ++i) {
    const double middle = (low + high) / 2;
    (normal_cdf(middle) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

Interval wilson(double successes, int64_t n, double confidence) {
  GUERDON_CHECK(n >= 0 && successes >= 0 && successes <= static_cast<double>(n),
                "wilson: ", successes, " successes of ", n);
  GUERDON_CHECK(confidence > 0 && confidence < 1, "wilson: confidence must lie in (0, 1), got ",
                confidence);
  if (n == 0) return {0, 1};
  const double z = normal_quantile((1 + confidence) / 2);
  const auto count = static_cast<double>(n);
  const double p = successes / count;
  const double center = p + z * z / (2 * count);
  const double half = z * std::sqrt(p * (1 - p) / count + z * z / (4 * count * count));
  const double scale = 1 + z * z / count;
  return {std::max(0.0, (center - half) / scale), std::min(1.0, (center + half) / scale)};
}

Bootstrap bootstrap_mean(std::span<const double> values, const BootstrapOptions& options) {
  GUERDON_CHECK(options.resamples >= 1, "bootstrap_mean: resamples must be at least 1, got ",
                options.resamples);
  GUERDON_CHECK(options.confidence > 0 && options.confidence < 1,
                "bootstrap_mean: confidence must lie in (0, 1), got ", options.confidence);
  if (values.empty()) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, {nan, nan}, nan};
  }
  std::vector<double> means;
  means.reserve(static_cast<size_t>(options.resamples));
  double above = 0;
  for (int64_t resample = 0; resample < options.resamples; ++resample) {
    Random random(options.seed, Purpose::bootstrap, static_cast<uint64_t>(resample));
    double sum = 0;
    for (size_t i = 0; i < values.size(); ++i) sum += values[random.next_below(values.size())];
    means.push_back(sum / static_cast<double>(values.size()));
    above += sum > 0 ? 1.0 : sum == 0 ? 0.5 : 0.0;
  }
  const double tail = (1 - options.confidence) / 2;
  return {average(values),
          {quantile(means, tail), quantile(means, 1 - tail)},
          above / static_cast<double>(options.resamples)};
}

}  // namespace guerdon::math
