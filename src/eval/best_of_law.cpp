#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "guerdon/base/error.h"
#include "guerdon/eval/best_of_n.h"

namespace guerdon::eval {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

void check_law(const char* name, std::span<const double> law, std::span<const double> other) {
  GUERDON_CHECK(!law.empty() && law.size() == other.size(), name, ": ", law.size(),
                " probabilities and ", other.size(), " values");
  const double sum = std::accumulate(law.begin(), law.end(), 0.0);
  const bool negative = std::any_of(law.begin(), law.end(), [](double p) { return !(p >= 0); });
  GUERDON_CHECK(!negative && std::abs(sum - 1) < 1e-6, name, ": probabilities sum to ", sum);
}

double highest_reward(std::span<const double> law, std::span<const double> reward) {
  double best = -kInfinity;
  for (size_t i = 0; i < law.size(); ++i) {
    if (law[i] > 0) best = std::max(best, reward[i]);
  }
  return best;
}

double mean_of(std::span<const double> law, std::span<const double> reward) {
  return std::inner_product(law.begin(), law.end(), reward.begin(), 0.0);
}

/// a = infinity.
Tilt limit_tilt(std::span<const double> law, std::span<const double> reward) {
  const double best = highest_reward(law, reward);
  double mass = 0;
  for (size_t i = 0; i < law.size(); ++i) mass += reward[i] == best ? law[i] : 0;
  Tilt out{.a = kInfinity, .mean = best, .kl = -std::log(mass), .log_z = kInfinity};
  for (size_t i = 0; i < law.size(); ++i)
    out.law.push_back(reward[i] == best ? law[i] / mass : 0.0);
  return out;
}

/// The tilt at which `value`, which rises with a, is `target`.
template <class Value>
Tilt tilt_where(std::span<const double> law, std::span<const double> reward, double target,
                const Value& value) {
  double low = 0, high = 1;
  while (value(tilt(law, reward, high)) < target && high < 1e300) low = high, high *= 2;
  for (int i = 0; i < 200 && high - low > 1e-15 * high; ++i) {
    const double middle = (low + high) / 2;
    (value(tilt(law, reward, middle)) < target ? low : high) = middle;
  }
  return tilt(law, reward, (low + high) / 2);
}

}  // namespace

std::vector<double> best_of_law(std::span<const double> law, std::span<const double> reward,
                                double n) {
  check_law("best_of_law", law, reward);
  GUERDON_CHECK(n >= 1, "best_of_law: n must be at least 1, got ", n);
  std::vector<size_t> order(law.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return reward[a] < reward[b]; });
  // Masses below and above each outcome, summed from their own ends: with n = e^40, what is above
  // matters where it is 1e-17.
  std::vector<double> out(law.size()), from(order.size() + 1), above(order.size() + 1);
  for (size_t i = 0; i < order.size(); ++i) from[i + 1] = from[i] + law[order[i]];
  for (size_t i = order.size(); i > 0; --i) above[i - 1] = above[i] + law[order[i - 1]];
  // F^n of the i lowest outcomes.
  const auto power = [&](size_t i) {
    if (i == order.size()) return 1.0;
    return above[i] < 0.5 ? std::exp(n * std::log1p(-above[i])) : std::pow(from[i], n);
  };
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    double mass = 0;
    for (end = begin; end < order.size() && reward[order[end]] == reward[order[begin]]; ++end)
      mass += law[order[end]];
    const double chosen = power(end) - power(begin);
    for (size_t i = begin; i < end; ++i)
      out[order[i]] = mass > 0 ? chosen * law[order[i]] / mass : 0.0;
  }
  return out;
}

double kl_of_laws(std::span<const double> q, std::span<const double> p) {
  check_law("kl_of_laws", q, p);
  check_law("kl_of_laws", p, q);
  double sum = 0;
  for (size_t i = 0; i < q.size(); ++i) {
    if (q[i] > 0) sum += p[i] > 0 ? q[i] * std::log(q[i] / p[i]) : kInfinity;
  }
  return std::max(sum, 0.0);
}

double best_of_kl_bound(double n) {
  GUERDON_CHECK(n >= 1, "best_of_kl_bound: n must be at least 1, got ", n);
  return std::log(n) - (n - 1) / n;
}

Tilt tilt(std::span<const double> law, std::span<const double> reward, double a) {
  check_law("tilt", law, reward);
  double largest = -kInfinity;
  for (size_t i = 0; i < law.size(); ++i) {
    if (law[i] > 0) largest = std::max(largest, a * reward[i]);
  }
  Tilt out{.a = a};
  double z = 0;  // over e^largest
  for (size_t i = 0; i < law.size(); ++i) {
    out.law.push_back(law[i] > 0 ? law[i] * std::exp(a * reward[i] - largest) : 0.0);
    z += out.law.back();
  }
  for (double& p : out.law) p /= z;
  out.log_z = largest + std::log(z);
  out.mean = mean_of(out.law, reward);
  out.kl = std::max(a * out.mean - out.log_z, 0.0);
  return out;
}

Tilt tilt_of_kl(std::span<const double> law, std::span<const double> reward, double kl) {
  check_law("tilt_of_kl", law, reward);
  GUERDON_CHECK(kl >= 0, "tilt_of_kl: KL must not be negative, got ", kl);
  const Tilt limit = limit_tilt(law, reward);
  if (kl >= limit.kl) return limit;
  if (kl == 0) return tilt(law, reward, 0);
  return tilt_where(law, reward, kl, [](const Tilt& t) { return t.kl; });
}

Tilt tilt_of_mean(std::span<const double> law, std::span<const double> reward, double mean) {
  check_law("tilt_of_mean", law, reward);
  const Tilt limit = limit_tilt(law, reward);
  GUERDON_CHECK(mean <= limit.mean, "tilt_of_mean: no law has a mean reward of ", mean);
  if (mean >= limit.mean) return limit;
  if (mean <= mean_of(law, reward)) return tilt(law, reward, 0);
  return tilt_where(law, reward, mean, [](const Tilt& t) { return t.mean; });
}

double log_moment(std::span<const double> law, std::span<const double> reward, double a, double t) {
  return tilt(law, reward, a + t).log_z - tilt(law, reward, a).log_z;
}

double deviation_rate(std::span<const double> law, std::span<const double> reward, double a,
                      double x) {
  // The supremum is where the tilt by a + t has the mean x: the KL of that tilt from that by a.
  const Tilt base = tilt(law, reward, a);
  if (x >= base.mean) return kl_of_laws(tilt_of_mean(base.law, reward, x).law, base.law);
  std::vector<double> negative;
  for (const double r : reward) negative.push_back(-r);
  return kl_of_laws(tilt_of_mean(base.law, negative, -x).law, base.law);
}

}  // namespace guerdon::eval
