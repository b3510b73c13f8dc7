#include "guerdon/math/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

#include "guerdon/base/error.h"

namespace guerdon::math {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void check_pair(const char* name, std::span<const double> x, std::span<const double> y) {
  GUERDON_CHECK(x.size() == y.size(), name, ": got ", x.size(), " and ", y.size(), " values");
}

std::vector<size_t> order_of(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  return order;
}

/// Pairs among runs of equal neighbours.
template <class Equal>
double tied_pairs(size_t size, const Equal& equal) {
  double pairs = 0;
  for (size_t begin = 0, end = 0; begin < size; begin = end) {
    for (end = begin + 1; end < size && equal(begin, end);) ++end;
    const auto run = static_cast<double>(end - begin);
    pairs += run * (run - 1) / 2;
  }
  return pairs;
}

/// Sorts by merging and counts the exchanges that a bubble sort would have made.
double sort_and_count(std::vector<double>& values, size_t begin, size_t end) {
  if (end - begin < 2) return 0;
  const size_t middle = begin + (end - begin) / 2;
  double exchanges = sort_and_count(values, begin, middle) + sort_and_count(values, middle, end);
  std::vector<double> merged;
  merged.reserve(end - begin);
  for (size_t left = begin, right = middle; left < middle || right < end;) {
    if (right == end || (left < middle && values[left] <= values[right])) {
      merged.push_back(values[left++]);
    } else {
      exchanges += static_cast<double>(middle - left);
      merged.push_back(values[right++]);
    }
  }
  std::copy(merged.begin(), merged.end(), values.begin() + static_cast<std::ptrdiff_t>(begin));
  return exchanges;
}

int64_t bin_count(const std::vector<double>& values, double range) {
  const double spread = quantile(values, 0.75) - quantile(values, 0.25);
  const double width = 2 * spread / std::cbrt(static_cast<double>(values.size()));
  if (!(width > 0)) return 8;
  return std::clamp<int64_t>(static_cast<int64_t>(std::min(range / width, 1000.0)) + 1, 8, 40);
}

}  // namespace

double average(std::span<const double> values) {
  if (values.empty()) return kNaN;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double standard_deviation(std::span<const double> values) {
  if (values.empty()) return kNaN;
  if (values.size() == 1) return 0.0;
  const double center = average(values);
  double squares = 0;
  for (const double value : values) squares += (value - center) * (value - center);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

double quantile(std::span<const double> values, double q) {
  GUERDON_CHECK(q >= 0 && q <= 1, "quantile: q must lie in [0, 1], got ", q);
  if (values.empty()) return kNaN;
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

std::vector<double> ranks(std::span<const double> values) {
  const std::vector<size_t> order = order_of(values);
  std::vector<double> out(values.size());
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    for (end = begin + 1; end < order.size() && values[order[end]] == values[order[begin]];) ++end;
    // The ranks begin + 1 .. end have this mean.
    const double shared = static_cast<double>(begin + 1 + end) / 2;
    for (size_t i = begin; i < end; ++i) out[order[i]] = shared;
  }
  return out;
}

double pearson(std::span<const double> x, std::span<const double> y) {
  check_pair("pearson", x, y);
  if (x.size() < 2) return kNaN;
  const double x_mean = average(x), y_mean = average(y);
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - x_mean) * (x[i] - x_mean);
    yy += (y[i] - y_mean) * (y[i] - y_mean);
    xy += (x[i] - x_mean) * (y[i] - y_mean);
  }
  if (!(xx > 0) || !(yy > 0)) return kNaN;
  return std::clamp(xy / std::sqrt(xx) / std::sqrt(yy), -1.0, 1.0);
}

double spearman(std::span<const double> x, std::span<const double> y) {
  check_pair("spearman", x, y);
  return pearson(ranks(x), ranks(y));
}

double kendall(std::span<const double> x, std::span<const double> y) {
  check_pair("kendall", x, y);
  const size_t n = x.size();
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return x[a] != x[b] ? x[a] < x[b] : y[a] < y[b]; });

  const auto same_x = [&](size_t a, size_t b) { return x[order[a]] == x[order[b]]; };
  const double tied_x = tied_pairs(n, same_x);
  const double tied_both =
      tied_pairs(n, [&](size_t a, size_t b) { return same_x(a, b) && y[order[a]] == y[order[b]]; });
  std::vector<double> by_x(n);
  for (size_t i = 0; i < n; ++i) by_x[i] = y[order[i]];
  const double discordant = sort_and_count(by_x, 0, n);
  const double tied_y = tied_pairs(n, [&](size_t a, size_t b) { return by_x[a] == by_x[b]; });

  const double pairs = static_cast<double>(n) * (static_cast<double>(n) - 1) / 2;
  const double concordant = pairs - tied_x - tied_y + tied_both - discordant;
  if (!(pairs > tied_x) || !(pairs > tied_y)) return kNaN;
  return (concordant - discordant) / std::sqrt(pairs - tied_x) / std::sqrt(pairs - tied_y);
}

double auroc(std::span<const double> positives, std::span<const double> negatives) {
  if (positives.empty() || negatives.empty()) return kNaN;
  std::vector<double> all(positives.begin(), positives.end());
  all.insert(all.end(), negatives.begin(), negatives.end());
  const std::vector<double> rank = ranks(all);
  const auto p = static_cast<double>(positives.size()), n = static_cast<double>(negatives.size());
  const double rank_sum = std::accumulate(
      rank.begin(), rank.begin() + static_cast<std::ptrdiff_t>(positives.size()), 0.0);
  return (rank_sum - p * (p + 1) / 2) / (p * n);  // Mann and Whitney 1947
}

Histogram histogram(std::span<const double> values, const HistogramOptions& options) {
  GUERDON_CHECK(options.bins >= 0, "histogram: ", options.bins, " bins");
  std::vector<double> finite;
  for (const double v : values) {
    if (std::isfinite(v)) finite.push_back(v);
  }
  if (finite.empty()) {
    const int64_t bins = options.bins > 0 ? options.bins : 8;
    return {0, 1 / static_cast<double>(bins), std::vector<int64_t>(static_cast<size_t>(bins))};
  }
  double low = *std::min_element(finite.begin(), finite.end()),
         high = *std::max_element(finite.begin(), finite.end());
  if (high - low <= 0) {
    const double space = std::max(0.1 * std::abs(low), 1e-3);
    low -= space, high += space;
  }
  const int64_t bins = options.bins > 0 ? options.bins : bin_count(finite, high - low);
  Histogram out{low, (high - low) / static_cast<double>(bins), {}};
  int64_t count = bins;
  if (options.divide && *options.divide > low && *options.divide < high) {
    const double left = std::ceil((*options.divide - low) / out.width - 1e-9);
    out.start = *options.divide - left * out.width;
    count = static_cast<int64_t>(left + std::ceil((high - *options.divide) / out.width - 1e-9));
  }
  out.counts.resize(static_cast<size_t>(count));
  for (const double v : finite) {
    const auto index = static_cast<int64_t>(std::floor((v - out.start) / out.width));
    ++out.counts[static_cast<size_t>(std::clamp<int64_t>(index, 0, count - 1))];
  }
  return out;
}

}  // namespace guerdon::math
