#include "guerdon/loss/advantage.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "guerdon/base/error.h"

namespace guerdon::loss {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<double> numbers(const Tensor& values) {
  const Tensor plain = values.detach().to(at::kCPU, at::kDouble).contiguous();
  return {plain.data_ptr<double>(), plain.data_ptr<double>() + plain.numel()};
}

Tensor like(const std::vector<double>& values, const Tensor& model) {
  return at::tensor(values, at::kDouble).to(model.options());
}

struct Moments {
  double mean = kNaN;
  double deviation = 0.0;  // divisor n - 1; exactly 0 for equal values
};

// Of the values that are not NaN.
Moments moments(std::span<const double> values) {
  double sum = 0, low = std::numeric_limits<double>::infinity(), high = -low;
  int64_t n = 0;
  for (const double x : values) {
    if (std::isnan(x)) continue;
    sum += x, ++n;
    low = std::min(low, x), high = std::max(high, x);
  }
  if (n == 0) return {};
  if (low == high) return {low, 0.0};
  const double mean = sum / static_cast<double>(n);
  double squares = 0;
  for (const double x : values) {
    if (!std::isnan(x)) squares += (x - mean) * (x - mean);
  }
  return {mean, std::sqrt(squares / static_cast<double>(n - 1))};
}

void check_groups(std::span<const int64_t> groups, int64_t rows, const char* who) {
  GUERDON_CHECK(!groups.empty() && groups.front() == 0 && groups.back() == rows &&
                    std::is_sorted(groups.begin(), groups.end()),
                who, ": the group offsets must rise from 0 to ", rows);
}

// NaN where the row is out of the update.
std::vector<double> scored(const Tensor& rewards, const Tensor& weight) {
  std::vector<double> out = numbers(rewards);
  if (!weight.defined()) return out;
  const std::vector<double> w = numbers(weight);
  GUERDON_CHECK(w.size() == out.size(), "advantages: ", w.size(), " weights for ", out.size(),
                " rewards");
  for (size_t i = 0; i < out.size(); ++i) {
    if (w[i] == 0.0) out[i] = kNaN;
  }
  return out;
}

// (x - mean) / (deviation + epsilon), NaN left alone.
void normalise(std::span<double> values, const Moments& m, double deviation, double epsilon) {
  for (double& x : values) x = (x - m.mean) / (deviation + epsilon);
}

void nan_to_zero_and_weigh(std::vector<double>& advantages, const Tensor& weight) {
  const std::vector<double> w = weight.defined() ? numbers(weight) : std::vector<double>();
  for (size_t i = 0; i < advantages.size(); ++i) {
    advantages[i] = std::isnan(advantages[i]) ? 0.0 : advantages[i] * (w.empty() ? 1.0 : w[i]);
  }
}

}  // namespace

Scale scale_of(const std::string& name) {
  if (name == "group") return Scale::group;
  if (name == "batch") return Scale::batch;
  GUERDON_CHECK(name == "none", "scale_of: ", name);
  return Scale::none;
}

Tensor group_advantages(const Tensor& rewards, const Tensor& weight,
                        std::span<const int64_t> groups, const AdvantageOptions& options) {
  check_groups(groups, rewards.size(0), "group_advantages");
  std::vector<double> values = scored(rewards, weight);
  const double whole = moments(values).deviation;
  for (size_t g = 0; g + 1 < groups.size(); ++g) {
    const std::span<double> group(values.data() + groups[g],
                                  static_cast<size_t>(groups[g + 1] - groups[g]));
    const Moments m = moments(group);
    switch (options.scale) {
      case Scale::group: normalise(group, m, m.deviation, options.epsilon); break;
      case Scale::batch: normalise(group, m, whole, options.epsilon); break;
      case Scale::none: normalise(group, m, 1.0, 0.0); break;
    }
  }
  nan_to_zero_and_weigh(values, weight);
  return like(values, rewards);
}

Tensor weighted_total(const Tensor& components, const std::vector<double>& weights) {
  GUERDON_CHECK(components.dim() == 2 && components.size(1) == static_cast<int64_t>(weights.size()),
                "weighted_total: components ", components.sizes(), " for ", weights.size(),
                " weights");
  const std::vector<double> values = numbers(components);
  const size_t k_count = weights.size();
  std::vector<double> total(static_cast<size_t>(components.size(0)), kNaN);
  for (size_t i = 0; i < total.size(); ++i) {
    for (size_t k = 0; k < k_count; ++k) {
      const double x = values[i * k_count + k];
      if (weights[k] == 0.0 || std::isnan(x)) continue;
      total[i] = (std::isnan(total[i]) ? 0.0 : total[i]) + weights[k] * x;
    }
  }
  return like(total, components);
}

Tensor normalize_then_sum(const Tensor& components, const std::vector<double>& weights,
                          const Tensor& weight, std::span<const int64_t> groups,
                          const AdvantageOptions& options) {
  check_groups(groups, components.size(0), "normalize_then_sum");
  Tensor normalised = components.to(at::kDouble).clone();
  for (int64_t k = 0; k < components.size(1); ++k) {
    std::vector<double> column = scored(components.select(1, k), weight);
    for (size_t g = 0; g + 1 < groups.size(); ++g) {
      const std::span<double> group(column.data() + groups[g],
                                    static_cast<size_t>(groups[g + 1] - groups[g]));
      const Moments m = moments(group);
      normalise(group, m, m.deviation, options.epsilon);
    }
    normalised.select(1, k).copy_(at::tensor(column, at::kDouble));
  }
  std::vector<double> total = numbers(weighted_total(normalised, weights));
  const Moments m = moments(total);
  normalise(total, m, m.deviation, options.epsilon);
  nan_to_zero_and_weigh(total, weight);
  return like(total, components);
}

double zero_deviation_share(const Tensor& rewards, std::span<const int64_t> groups) {
  check_groups(groups, rewards.size(0), "zero_deviation_share");
  const std::vector<double> values = numbers(rewards);
  double flat = 0;
  for (size_t g = 0; g + 1 < groups.size(); ++g) {
    flat += moments({values.data() + groups[g], static_cast<size_t>(groups[g + 1] - groups[g])})
                .deviation == 0.0;
  }
  return groups.size() < 2 ? 0.0 : flat / static_cast<double>(groups.size() - 1);
}

}  // namespace guerdon::loss
