#include "guerdon/math/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "guerdon/base/error.h"

namespace guerdon::math {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void check(const Predictions& p) {
  GUERDON_CHECK(p.probability.size() == p.outcome.size(), "calibration: ", p.probability.size(),
                " probabilities and ", p.outcome.size(), " outcomes");
}

/// Sums to means.
void close(ReliabilityBin& bin) {
  bin.probability = bin.count > 0 ? bin.probability / static_cast<double>(bin.count) : kNaN;
  bin.outcome = bin.count > 0 ? bin.outcome / static_cast<double>(bin.count) : kNaN;
}

std::vector<size_t> order_of(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  return order;
}

}  // namespace

double sigmoid(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

Predictions pair_predictions(std::span<const double> margins) {
  Predictions out;
  for (const double margin : margins) {
    out.probability.push_back(sigmoid(std::abs(margin)));
    out.outcome.push_back(margin > 0 ? 1.0 : margin == 0 ? 0.5 : 0.0);
  }
  return out;
}

std::vector<ReliabilityBin> reliability_bins(const Predictions& predictions,
                                             const BinOptions& options) {
  check(predictions);
  GUERDON_CHECK(options.bins >= 1 && options.lower < options.upper,
                "reliability_bins: ", options.bins, " bins over [", options.lower, ", ",
                options.upper, "]");
  const double width = (options.upper - options.lower) / static_cast<double>(options.bins);
  std::vector<ReliabilityBin> bins;
  for (int64_t i = 0; i < options.bins; ++i) {
    bins.push_back({.lower = options.lower + width * static_cast<double>(i),
                    .upper = options.lower + width * static_cast<double>(i + 1)});
  }
  for (size_t i = 0; i < predictions.probability.size(); ++i) {
    const double place = std::floor((predictions.probability[i] - options.lower) / width);
    const auto index =
        static_cast<size_t>(std::clamp(place, 0.0, static_cast<double>(options.bins - 1)));
    ++bins[index].count;
    bins[index].probability += predictions.probability[i];
    bins[index].outcome += predictions.outcome[i];
  }
  for (ReliabilityBin& bin : bins) close(bin);
  return bins;
}

std::vector<ReliabilityBin> equal_count_bins(const Predictions& predictions, int64_t bins) {
  check(predictions);
  GUERDON_CHECK(bins >= 1, "equal_count_bins: ", bins, " bins");
  const std::vector<double>& claim = predictions.probability;
  const std::vector<size_t> order = order_of(claim);
  std::vector<ReliabilityBin> out;
  size_t begin = 0;
  for (int64_t i = 0; i < bins && begin < order.size(); ++i) {
    // The remaining rows shared among the remaining bins, rounded up.
    const auto left = static_cast<size_t>(bins - i);
    size_t end = begin + (order.size() - begin + left - 1) / left;
    while (end < order.size() && claim[order[end]] == claim[order[end - 1]]) ++end;
    ReliabilityBin bin{.lower = claim[order[begin]], .upper = claim[order[end - 1]]};
    for (; begin < end; ++begin) {
      ++bin.count;
      bin.probability += claim[order[begin]];
      bin.outcome += predictions.outcome[order[begin]];
    }
    close(bin);
    out.push_back(bin);
  }
  return out;
}

double expected_calibration_error(std::span<const ReliabilityBin> bins) {
  double sum = 0, count = 0;
  for (const ReliabilityBin& bin : bins) {
    if (bin.count == 0) continue;
    sum += static_cast<double>(bin.count) * std::abs(bin.probability - bin.outcome);
    count += static_cast<double>(bin.count);
  }
  return count > 0 ? sum / count : kNaN;
}

double average_calibration_error(std::span<const ReliabilityBin> bins) {
  double sum = 0, count = 0;
  for (const ReliabilityBin& bin : bins) {
    if (bin.count == 0) continue;
    sum += std::abs(bin.probability - bin.outcome);
    ++count;
  }
  return count > 0 ? sum / count : kNaN;
}

double maximum_calibration_error(std::span<const ReliabilityBin> bins) {
  double worst = kNaN;
  for (const ReliabilityBin& bin : bins) {
    if (bin.count > 0) worst = std::fmax(worst, std::abs(bin.probability - bin.outcome));
  }
  return worst;
}

double brier_score(const Predictions& predictions) {
  check(predictions);
  if (predictions.probability.empty()) return kNaN;
  double sum = 0;
  for (size_t i = 0; i < predictions.probability.size(); ++i) {
    const double error = predictions.probability[i] - predictions.outcome[i];
    sum += error * error;
  }
  return sum / static_cast<double>(predictions.probability.size());
}

double pair_log_loss(std::span<const double> margins, double temperature) {
  GUERDON_CHECK(temperature > 0, "pair_log_loss: temperature must be positive, got ", temperature);
  if (margins.empty()) return kNaN;
  double sum = 0;
  for (const double margin : margins) sum += softplus(-margin / temperature);
  return sum / static_cast<double>(margins.size());
}

double fit_temperature(std::span<const double> margins) {
  // The loss is convex in a = 1 / T; its slope in a is the mean of -m sigmoid(-a m), which rises
  // with a.
  const auto slope = [&](double a) {
    double sum = 0;
    for (const double m : margins) sum -= m * sigmoid(-a * m);
    return sum;
  };
  double low = std::log(1e-3), high = std::log(1e3);  // of a
  if (slope(std::exp(low)) >= 0) return 1e3;
  if (slope(std::exp(high)) <= 0) return 1e-3;
  while (high - low > 1e-12) {
    const double middle = (low + high) / 2;
    (slope(std::exp(middle)) < 0 ? low : high) = middle;
  }
  return std::exp(-(low + high) / 2);
}

double MonotoneFit::operator()(double at) const {
  GUERDON_CHECK(!x.empty() && x.size() == y.size(), "MonotoneFit: ", x.size(), " and ", y.size(),
                " points");
  if (at <= x.front()) return y.front();
  if (at >= x.back()) return y.back();
  const auto above = static_cast<size_t>(std::upper_bound(x.begin(), x.end(), at) - x.begin());
  const double share = (at - x[above - 1]) / (x[above] - x[above - 1]);
  return y[above - 1] + share * (y[above] - y[above - 1]);
}

MonotoneFit isotonic_fit(std::span<const double> x, std::span<const double> y,
                         std::span<const double> weights) {
  GUERDON_CHECK(
      !x.empty() && x.size() == y.size() && (weights.empty() || weights.size() == x.size()),
      "isotonic_fit: ", x.size(), " x, ", y.size(), " y, ", weights.size(), " weights");
  struct Block {
    double first, last;  // of x
    double mean, weight;
  };
  std::vector<Block> blocks;
  const auto pool = [&] {
    Block& right = blocks.back();
    Block& left = blocks[blocks.size() - 2];
    const double weight = left.weight + right.weight;
    left = {left.first, right.last, (left.mean * left.weight + right.mean * right.weight) / weight,
            weight};
    blocks.pop_back();
  };
  const std::vector<size_t> order = order_of(x);
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    Block point{x[order[begin]], x[order[begin]], 0, 0};
    for (end = begin; end < order.size() && x[order[end]] == point.first; ++end) {
      const double weight = weights.empty() ? 1.0 : weights[order[end]];
      GUERDON_CHECK(weight > 0, "isotonic_fit: weights must be positive, got ", weight);
      point.mean += weight * y[order[end]];
      point.weight += weight;
    }
    point.mean /= point.weight;
    blocks.push_back(point);
    while (blocks.size() > 1 && blocks[blocks.size() - 2].mean >= blocks.back().mean) pool();
  }
  MonotoneFit fit;
  for (const Block& block : blocks) {
    fit.x.push_back(block.first);
    fit.y.push_back(block.mean);
    if (block.last > block.first) {
      fit.x.push_back(block.last);
      fit.y.push_back(block.mean);
    }
  }
  return fit;
}

double StepFit::operator()(double at) const {
  GUERDON_CHECK(!value.empty() && upper.size() == value.size(), "StepFit: ", upper.size(), " and ",
                value.size(), " steps");
  const auto step =
      static_cast<size_t>(std::lower_bound(upper.begin(), upper.end(), at) - upper.begin());
  return value[std::min(step, value.size() - 1)];
}

StepFit quantile_fit(std::span<const double> x, std::span<const double> y, int64_t bins) {
  GUERDON_CHECK(!x.empty(), "quantile_fit: there are no points");
  StepFit fit;
  for (const ReliabilityBin& bin :
       equal_count_bins({{x.begin(), x.end()}, {y.begin(), y.end()}}, bins)) {
    fit.upper.push_back(bin.upper);
    fit.value.push_back(bin.outcome);
  }
  return fit;
}

}  // namespace guerdon::math
