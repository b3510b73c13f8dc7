#include "guerdon/math/ranking.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "guerdon/base/error.h"

namespace guerdon::math {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void check_sizes(const char* name, std::span<const double> x, std::span<const double> y) {
  GUERDON_CHECK(x.size() == y.size(), name, ": got ", x.size(), " and ", y.size(), " values");
}

/// Indices by falling value, equal ones by falling `then`, and then as they stand.
std::vector<size_t> falling(std::span<const double> values, std::span<const double> then = {}) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (values[a] != values[b] || then.empty()) return values[a] > values[b];
    return then[a] > then[b];
  });
  return order;
}

int sign(double value) { return (value > 0) - (value < 0); }

/// Weights by the rank in `x`.
double weighted_tau_by(std::span<const double> x, std::span<const double> y) {
  std::vector<double> weight(x.size());
  const std::vector<size_t> order = falling(x, y);
  for (size_t rank = 0; rank < order.size(); ++rank)
    weight[order[rank]] = 1 / (1 + static_cast<double>(rank));
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const int a = sign(x[i] - x[j]), b = sign(y[i] - y[j]);
      const double w = weight[i] + weight[j];
      xy += w * a * b;
      xx += w * a * a;
      yy += w * b * b;
    }
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx) / std::sqrt(yy) : kNaN;
}

double discount(size_t rank) { return 1 / std::log2(static_cast<double>(rank) + 2); }

/// Counts of positives and negatives at or above each distinct score, the highest first.
struct Cut {
  double positives, negatives;
};
std::vector<Cut> cuts(std::span<const double> positives, std::span<const double> negatives) {
  std::vector<std::pair<double, bool>> all;
  for (const double score : positives) all.emplace_back(score, true);
  for (const double score : negatives) all.emplace_back(score, false);
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<Cut> out;
  Cut count{0, 0};
  for (size_t i = 0; i < all.size(); ++i) {
    (all[i].second ? count.positives : count.negatives) += 1;
    if (i + 1 == all.size() || all[i + 1].first != all[i].first) out.push_back(count);
  }
  return out;
}

}  // namespace

double weighted_kendall(std::span<const double> x, std::span<const double> y) {
  check_sizes("weighted_kendall", x, y);
  return (weighted_tau_by(x, y) + weighted_tau_by(y, x)) / 2;
}

double ndcg(std::span<const double> scores, std::span<const double> gains, int64_t k) {
  check_sizes("ndcg", scores, gains);
  if (scores.empty()) return kNaN;
  const size_t count = k > 0 ? std::min(static_cast<size_t>(k), scores.size()) : scores.size();
  const std::vector<size_t> order = falling(scores), ideal = falling(gains);
  double found = 0, best = 0;
  for (size_t begin = 0, end = 0; begin < count; begin = end) {
    double gain = 0, discounts = 0;
    for (end = begin; end < order.size() && scores[order[end]] == scores[order[begin]]; ++end) {
      gain += gains[order[end]];
      if (end < count) discounts += discount(end);
    }
    found += gain / static_cast<double>(end - begin) * discounts;
  }
  for (size_t rank = 0; rank < count; ++rank) best += gains[ideal[rank]] * discount(rank);
  return best == 0 ? 0 : found / best;
}

RankBiasedOverlap rank_biased_overlap(std::span<const double> x, std::span<const double> y,
                                      double persistence) {
  check_sizes("rank_biased_overlap", x, y);
  GUERDON_CHECK(persistence > 0 && persistence < 1,
                "rank_biased_overlap: persistence must lie in (0, 1), got ", persistence);
  if (x.empty()) return {kNaN, kNaN};
  const std::vector<size_t> a = falling(x), b = falling(y);
  std::vector<int> seen(x.size());  // by how many of the two orders
  double overlap = 0, power = 1, sum = 0, share = 0;
  for (size_t d = 0; d < a.size(); ++d) {
    overlap += ++seen[a[d]] == 2;
    overlap += ++seen[b[d]] == 2;
    share = overlap / static_cast<double>(d + 1);
    sum += power * share;
    power *= persistence;
  }
  return {(1 - persistence) * sum, (1 - persistence) * sum + share * power};
}

double average_precision(std::span<const double> positives, std::span<const double> negatives) {
  if (positives.empty()) return kNaN;
  double sum = 0, before = 0;
  for (const Cut& cut : cuts(positives, negatives)) {
    sum += (cut.positives - before) * cut.positives / (cut.positives + cut.negatives);
    before = cut.positives;
  }
  return sum / static_cast<double>(positives.size());
}

double true_positive_rate(std::span<const double> positives, std::span<const double> negatives,
                          double false_positives) {
  if (positives.empty() || negatives.empty()) return kNaN;
  double best = 0;
  for (const Cut& cut : cuts(positives, negatives)) {
    if (cut.negatives <= false_positives * static_cast<double>(negatives.size()))
      best = cut.positives;
  }
  return best / static_cast<double>(positives.size());
}

}  // namespace guerdon::math
