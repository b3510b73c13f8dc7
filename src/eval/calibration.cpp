#include "guerdon/eval/calibration.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/random.h"
#include "guerdon/math/statistics.h"

namespace guerdon::eval {
namespace {

constexpr std::array<const char*, 4> kMethods{"none", "temperature", "isotonic", "quantile"};
constexpr double kLeast = 1e-6;  // of a claim and of its complement, for the log loss

/// From |margin| to the claim that the favourite is the better one.
using Calibrator = std::function<double(double)>;

Calibrator fitted(const std::string& method, std::span<const double> margins, int64_t bins) {
  if (method == "none") return [](double size) { return math::sigmoid(size); };
  if (method == "temperature") {
    const double temperature = math::fit_temperature(margins);
    return [temperature](double size) { return math::sigmoid(size / temperature); };
  }
  if (method == "isotonic") {
    // Each pair in both orders: then f(m) + f(-m) = 1, and a favourite's claim is at least 1/2.
    std::vector<double> x, y;
    for (const double margin : margins) {
      x.insert(x.end(), {margin, -margin});
      y.insert(y.end(), {1.0, 0.0});
    }
    return math::isotonic_fit(x, y);
  }
  std::vector<double> sizes;
  for (const double margin : margins) sizes.push_back(std::abs(margin));
  return math::quantile_fit(sizes, math::pair_predictions(margins).outcome, bins);
}

/// Claims about margins[i] by calibrators that did not see it.
std::vector<double> claims(const std::string& method, std::span<const double> margins,
                           std::span<const double> fit, const CalibrationOptions& options) {
  std::vector<double> out(margins.size());
  if (!fit.empty()) {
    const Calibrator calibrator = fitted(method, fit, options.bins);
    for (size_t i = 0; i < margins.size(); ++i) out[i] = calibrator(std::abs(margins[i]));
    return out;
  }
  const std::vector<int64_t> order =
      Random(options.seed, Purpose::choose).permutation(static_cast<int64_t>(margins.size()));
  const auto folds = static_cast<size_t>(options.folds);
  for (size_t fold = 0; fold < folds; ++fold) {
    std::vector<double> others;
    for (size_t k = 0; k < order.size(); ++k) {
      if (k % folds != fold) others.push_back(margins[static_cast<size_t>(order[k])]);
    }
    const Calibrator calibrator = fitted(method, others, options.bins);
    for (size_t k = fold; k < order.size(); k += folds) {
      const auto row = static_cast<size_t>(order[k]);
      out[row] = calibrator(std::abs(margins[row]));
    }
  }
  return out;
}

double log_loss(const math::Predictions& predictions) {
  double sum = 0;
  for (size_t i = 0; i < predictions.probability.size(); ++i) {
    const double p = std::clamp(predictions.probability[i], kLeast, 1 - kLeast);
    const double y = predictions.outcome[i];
    sum -= y * std::log(p) + (1 - y) * std::log1p(-p);
  }
  return sum / static_cast<double>(predictions.probability.size());
}

std::vector<math::ReliabilityBin> bins_of(const math::Predictions& predictions, int64_t bins) {
  return math::reliability_bins(predictions, {.bins = bins, .lower = 0.5, .upper = 1.0});
}

void find_intervals(CalibrationFigures& figures, const math::Predictions& predictions,
                    const CalibrationOptions& options) {
  std::vector<double> errors, scores;
  const size_t n = predictions.outcome.size();
  for (int64_t b = 0; b < options.resamples; ++b) {
    Random random(options.seed, Purpose::bootstrap, static_cast<uint64_t>(b));
    math::Predictions drawn;
    for (size_t i = 0; i < n; ++i) {
      const size_t row = random.next_below(n);
      drawn.probability.push_back(predictions.probability[row]);
      drawn.outcome.push_back(predictions.outcome[row]);
    }
    errors.push_back(math::expected_calibration_error(bins_of(drawn, options.bins)));
    scores.push_back(math::brier_score(drawn));
  }
  figures.ece_interval = {math::quantile(errors, 0.025), math::quantile(errors, 0.975)};
  figures.brier_interval = {math::quantile(scores, 0.025), math::quantile(scores, 0.975)};
}

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

Calibration calibrate(std::span<const double> margins, std::span<const double> fit,
                      const CalibrationOptions& options) {
  GUERDON_CHECK(!margins.empty() && options.bins >= 1 && options.folds >= 2,
                "calibrate: ", margins.size(), " margins, ", options.bins, " bins, ", options.folds,
                " folds");
  for (const std::span<const double> all : {margins, fit}) {
    for (const double margin : all)
      GUERDON_CHECK(std::isfinite(margin), "calibrate: a margin is ", margin);
  }
  if (fit.empty() && static_cast<int64_t>(margins.size()) < options.folds) {
    fail_settings("calibration",
                  str(margins.size(), " pairs cannot be divided into ", options.folds, " folds"));
  }
  Calibration out;
  out.pairs = static_cast<int64_t>(margins.size());
  const auto wins = static_cast<double>(
      std::count_if(margins.begin(), margins.end(), [](double margin) { return margin > 0; }));
  out.accuracy = wins / static_cast<double>(margins.size());
  out.interval = math::wilson(wins, out.pairs);
  out.temperature = math::fit_temperature(fit.empty() ? margins : fit);
  for (const std::string method : kMethods) {
    const math::Predictions predictions{claims(method, margins, fit, options),
                                        math::pair_predictions(margins).outcome};
    CalibrationFigures figures{.method = method};
    figures.bins = bins_of(predictions, options.bins);
    figures.ece = math::expected_calibration_error(figures.bins);
    figures.mce = math::maximum_calibration_error(figures.bins);
    figures.ace =
        math::expected_calibration_error(math::equal_count_bins(predictions, options.bins));
    figures.brier = math::brier_score(predictions);
    figures.log_loss = log_loss(predictions);
    find_intervals(figures, predictions, options);
    out.methods.push_back(std::move(figures));
  }
  return out;
}

Json calibration_json(const Calibration& result) {
  Json out{{"pairs", result.pairs},
           {"accuracy", result.accuracy},
           {"interval", {result.interval.lower, result.interval.upper}},
           {"temperature", result.temperature},
           {"methods", Json::array()}};
  for (const CalibrationFigures& figures : result.methods) {
    Json method{{"name", figures.method},
                {"ece", figures.ece},
                {"ace", figures.ace},
                {"mce", figures.mce},
                {"brier", figures.brier},
                {"log_loss", figures.log_loss},
                {"ece_interval", {figures.ece_interval.lower, figures.ece_interval.upper}},
                {"brier_interval", {figures.brier_interval.lower, figures.brier_interval.upper}},
                {"bins", Json::array()}};
    for (const math::ReliabilityBin& bin : figures.bins) {
      method["bins"].push_back({{"lower", bin.lower},
                                {"upper", bin.upper},
                                {"count", bin.count},
                                {"probability", number(bin.probability)},
                                {"outcome", number(bin.outcome)}});
    }
    out["methods"].push_back(std::move(method));
  }
  return out;
}

std::string calibration_text(const Calibration& result) {
  char line[160];
  std::snprintf(line, sizeof line,
                "accuracy %.1f %% (95 %% interval %.1f %% to %.1f %%) of %lld pairs, temperature "
                "%.4g\n",
                100 * result.accuracy, 100 * result.interval.lower, 100 * result.interval.upper,
                static_cast<long long>(result.pairs), result.temperature);
  std::string out = line;
  std::snprintf(line, sizeof line, "%-14s%9s%18s%9s%9s%9s%18s%10s\n", "", "ECE", "95 %", "ACE",
                "MCE", "Brier", "95 %", "log loss");
  out += line;
  for (const CalibrationFigures& f : result.methods) {
    std::snprintf(line, sizeof line,
                  "%-14s%9.4f  %.4f to %.4f%9.4f%9.4f%9.4f  %.4f to %.4f%10.4f\n", f.method.c_str(),
                  f.ece, f.ece_interval.lower, f.ece_interval.upper, f.ace, f.mce, f.brier,
                  f.brier_interval.lower, f.brier_interval.upper, f.log_loss);
    out += line;
  }
  return out;
}

}  // namespace guerdon::eval
