#include "guerdon/loss/difficulty.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "guerdon/base/error.h"

namespace guerdon::loss {
namespace {

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

double clause_similarity(const Tensor& cosines, const std::string& mean_over) {
  GUERDON_CHECK(cosines.dim() == 2, "clause_similarity: cosines ", cosines.sizes());
  GUERDON_CHECK(mean_over == "demonstration" || mean_over == "response",
                "clause_similarity: ", mean_over);
  if (cosines.numel() == 0) return 0.0;
  return cosines.amax(mean_over == "demonstration" ? 1 : 0).mean().item<double>();
}

std::vector<double> data_hardness(std::span<const double> similarity) {
  std::vector<double> out;
  if (similarity.empty()) return out;
  const double usual = sigmoid(1.0 - mean_of(similarity));
  for (const double w : similarity) out.push_back(sigmoid(1.0 - w) / usual);
  return out;
}

double responsiveness(std::span<const double> gaps, const ResponsivenessOptions& o) {
  if (gaps.empty()) return 1.0;
  const double mean = mean_of(gaps);
  std::vector<double> nearest(gaps.begin(), gaps.end());
  std::stable_sort(nearest.begin(), nearest.end(),
                   [&](double a, double b) { return std::abs(a - mean) < std::abs(b - mean); });
  const auto kept = o.keep > 0 ? std::min<std::ptrdiff_t>(o.keep, std::ssize(nearest))
                               : std::count_if(nearest.begin(), nearest.end(), [&](double gap) {
                                   return (gap - mean) * (gap - mean) <= o.tau;
                                 });
  if (kept == 0) return 1.0;
  return sigmoid(mean_of({nearest.data(), static_cast<size_t>(kept)})) / sigmoid(mean);
}

}  // namespace guerdon::loss
