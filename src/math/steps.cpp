#include "guerdon/math/steps.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "guerdon/base/error.h"
#include "guerdon/math/calibration.h"

namespace guerdon::math {
namespace {

constexpr double kLeast = 1e-6;  // of a probability that is divided by, or its complement

void require_one_of(const std::vector<std::string>& names, const std::string& name,
                    const std::string& what) {
  if (std::find(names.begin(), names.end(), name) != names.end()) return;
  fail_settings("step " + what + " " + show(name), "no such " + what + did_you_mean(name, names));
}

}  // namespace

const std::vector<std::string>& step_reductions() {
  static const std::vector<std::string> names{
      "min", "max", "product", "geometric_mean", "mean", "mean_logit", "mean_odds", "last", "sum"};
  return names;
}

double reduce_steps(std::span<const double> steps, const std::string& how) {
  const auto mean = [&](auto&& of) {
    double sum = 0;
    for (const double p : steps) sum += of(p);
    return sum / static_cast<double>(steps.size());
  };
  const auto inside = [](double p) { return std::clamp(p, kLeast, 1 - kLeast); };
  const auto product = [&] {
    return std::accumulate(steps.begin(), steps.end(), 1.0, std::multiplies<>());
  };
  require_one_of(step_reductions(), how, "reduction");
  if (how == "sum") return std::accumulate(steps.begin(), steps.end(), 0.0);
  if (steps.empty()) return 0.5;
  if (how == "min") return *std::min_element(steps.begin(), steps.end());
  if (how == "max") return *std::max_element(steps.begin(), steps.end());
  if (how == "product") return product();
  if (how == "geometric_mean") return std::pow(product(), 1 / static_cast<double>(steps.size()));
  if (how == "mean") return mean([](double p) { return p; });
  if (how == "mean_logit") {
    return sigmoid(mean([&](double p) { return std::log(inside(p)) - std::log1p(-inside(p)); }));
  }
  if (how == "mean_odds") return mean([&](double p) { return inside(p) / (1 - inside(p)); });
  return steps.back();
}

const std::vector<std::string>& step_shapes() {
  static const std::vector<std::string> names{"none", "clip", "delta", "clip_delta"};
  return names;
}

std::vector<double> shape_steps(std::span<const double> steps, const std::string& how, double eta) {
  require_one_of(step_shapes(), how, "shape");
  std::vector<double> r(steps.begin(), steps.end());
  if (how.starts_with("clip")) {
    for (double& q : r) q = std::min(q - eta, 0.0);
  }
  if (how.ends_with("delta") && !r.empty()) {
    for (size_t k = 0; k + 2 < r.size(); ++k) r[k] -= r[k + 1];
    r.back() = 0.0;
  }
  return r;
}

}  // namespace guerdon::math
