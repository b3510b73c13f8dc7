#include "guerdon/eval/benchmark.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/math/bradley_terry.h"

namespace guerdon::eval {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void measure_calibration(PairBenchmark& out, std::span<const double> margins) {
  const math::Predictions predictions = math::pair_predictions(margins);
  out.bins = math::reliability_bins(predictions, {.bins = 10, .lower = 0.5, .upper = 1.0});
  out.ece = math::expected_calibration_error(out.bins);
  out.mce = math::maximum_calibration_error(out.bins);
  out.ace = math::expected_calibration_error(math::equal_count_bins(predictions));
  out.brier = math::brier_score(predictions);
  out.log_loss = math::pair_log_loss(margins);
  out.temperature = math::fit_temperature(margins);
  out.calibrated_log_loss = math::pair_log_loss(margins, out.temperature);
}

void measure_length(PairBenchmark& out, std::span<const ScoredPair> pairs,
                    std::span<const double> margins) {
  std::vector<double> difference;
  double unequal = 0, label_longer = 0, judge_longer = 0;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const double d = pairs[i].chosen_length - pairs[i].rejected_length;
    difference.push_back(d);
    if (d == 0) continue;
    ++unequal;
    label_longer += d > 0;
    judge_longer += d * margins[i] > 0;
  }
  out.length_correlation = math::pearson(margins, difference);
  out.label_prefers_longer = unequal > 0 ? label_longer / unequal : kNaN;
  out.judge_prefers_longer = unequal > 0 ? judge_longer / unequal : kNaN;

  out.length_effect = out.length_effect_error = kNaN;
  // Lengths have no natural zero within a pair: the scale is the root mean square of the
  // difference.
  double squares = 0;
  for (const double d : difference) squares += d * d;
  const double scale = std::sqrt(squares / static_cast<double>(difference.size()));
  if (!(scale > 0)) return;
  // The chosen one won in every pair: a logistic fit without intercept, since swapping the sides
  // flips every sign.
  std::vector<double> features;
  for (size_t i = 0; i < pairs.size(); ++i)
    features.insert(features.end(), {margins[i], difference[i] / scale});
  const math::LogisticFit fit =
      math::logistic_fit(features, std::vector<double>(pairs.size(), 1.0));
  out.length_effect = fit.coefficients[1];
  out.length_effect_error = fit.standard_errors[1];
}

std::vector<Subset> by_subset(std::span<const ScoredPair> pairs) {
  std::map<std::pair<std::string, std::string>, Subset> found;
  for (const ScoredPair& pair : pairs) {
    for (const auto& [column, value] : pair.subsets) {
      Subset& subset = found[{column, value}];
      subset.column = column;
      subset.value = value;
      ++subset.pairs;
      subset.accuracy += pair.chosen > pair.rejected;  // a count until all are seen
      subset.mean_margin += pair.chosen - pair.rejected;
    }
  }
  std::vector<Subset> out;
  for (auto& [key, subset] : found) {
    const auto n = static_cast<double>(subset.pairs);
    subset.interval = math::wilson(subset.accuracy, subset.pairs);
    subset.accuracy /= n;
    subset.mean_margin /= n;
    out.push_back(std::move(subset));
  }
  return out;
}

std::optional<Truth> against_truth(std::span<const ScoredPair> pairs,
                                   std::span<const double> margins) {
  std::vector<double> true_margins;
  for (const ScoredPair& pair : pairs) {
    if (!pair.true_chosen || !pair.true_rejected) return std::nullopt;
    true_margins.push_back(*pair.true_chosen - *pair.true_rejected);
  }
  double right = 0, decided = 0, agreed = 0;
  for (size_t i = 0; i < pairs.size(); ++i) {
    right += true_margins[i] > 0 ? 1.0 : true_margins[i] == 0 ? 0.5 : 0.0;
    if (true_margins[i] == 0) continue;
    ++decided;
    agreed += true_margins[i] * margins[i] > 0;
  }
  return Truth{.best_accuracy = right / static_cast<double>(pairs.size()),
               .agreement = decided > 0 ? agreed / decided : kNaN,
               .rank_correlation = math::spearman(margins, true_margins)};
}

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json interval_json(const math::Interval& interval) {
  return Json::array({interval.lower, interval.upper});
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return std::isfinite(share) ? text : "-";
}

std::string decimals(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return std::isfinite(value) ? text : "-";
}

}  // namespace

PairBenchmark benchmark(std::span<const ScoredPair> pairs) {
  GUERDON_CHECK(!pairs.empty(), "benchmark: there are no pairs");
  PairBenchmark out;
  std::vector<double> margins, chosen, rejected;
  double wins = 0;
  for (const ScoredPair& pair : pairs) {
    GUERDON_CHECK(std::isfinite(pair.chosen) && std::isfinite(pair.rejected), "benchmark: scores ",
                  pair.chosen, " and ", pair.rejected);
    chosen.push_back(pair.chosen);
    rejected.push_back(pair.rejected);
    margins.push_back(pair.chosen - pair.rejected);
    wins += pair.chosen > pair.rejected;
    out.ties += pair.chosen == pair.rejected;
  }
  out.pairs = static_cast<int64_t>(pairs.size());
  out.accuracy = wins / static_cast<double>(pairs.size());
  out.interval = math::wilson(wins, out.pairs);
  out.mean_chosen = math::average(chosen);
  out.mean_rejected = math::average(rejected);
  out.mean_margin = math::average(margins);
  out.margin_deviation = math::standard_deviation(margins);
  out.margins = math::histogram(margins, {.divide = 0.0});
  measure_calibration(out, margins);
  measure_length(out, pairs, margins);
  out.subsets = by_subset(pairs);
  out.truth = against_truth(pairs, margins);
  return out;
}

Json benchmark_json(const PairBenchmark& r) {
  Json out{{"pairs", r.pairs},
           {"accuracy", r.accuracy},
           {"accuracy_interval", interval_json(r.interval)},
           {"ties", r.ties},
           {"mean_chosen", r.mean_chosen},
           {"mean_rejected", r.mean_rejected},
           {"mean_margin", r.mean_margin},
           {"margin_deviation", r.margin_deviation},
           {"ece", r.ece},
           {"mce", r.mce},
           {"ace", r.ace},
           {"brier", r.brier},
           {"log_loss", r.log_loss},
           {"temperature", r.temperature},
           {"calibrated_log_loss", r.calibrated_log_loss},
           {"length_correlation", number(r.length_correlation)},
           {"label_prefers_longer", number(r.label_prefers_longer)},
           {"judge_prefers_longer", number(r.judge_prefers_longer)},
           {"length_effect", number(r.length_effect)},
           {"length_effect_error", number(r.length_effect_error)}};
  if (r.truth) {
    out["best_accuracy"] = r.truth->best_accuracy;
    out["true_agreement"] = number(r.truth->agreement);
    out["true_rank_correlation"] = number(r.truth->rank_correlation);
  }
  out["bins"] = Json::array();
  for (const math::ReliabilityBin& bin : r.bins) {
    out["bins"].push_back({{"lower", bin.lower},
                           {"upper", bin.upper},
                           {"count", bin.count},
                           {"probability", number(bin.probability)},
                           {"outcome", number(bin.outcome)}});
  }
  out["margins"] = {
      {"start", r.margins.start}, {"width", r.margins.width}, {"counts", r.margins.counts}};
  out["subsets"] = Json::array();
  for (const Subset& s : r.subsets) {
    out["subsets"].push_back({{"column", s.column},
                              {"name", s.value},
                              {"pairs", s.pairs},
                              {"accuracy", s.accuracy},
                              {"accuracy_interval", interval_json(s.interval)},
                              {"mean_margin", s.mean_margin}});
  }
  return out;
}

std::string benchmark_text(const PairBenchmark& r) {
  std::string out;
  const auto line = [&](const std::string& name, const std::string& text) {
    out += name + std::string(name.size() < 22 ? 22 - name.size() : 1, ' ') + text + "\n";
  };
  line("accuracy", percent(r.accuracy) + " (95 % interval " + percent(r.interval.lower) + " to " +
                       percent(r.interval.upper) + ") of " + str(r.pairs) + " pairs" +
                       (r.ties > 0 ? str(", ", r.ties, " ties count as wrong") : ""));
  if (r.truth) {
    line("best possible", percent(r.truth->best_accuracy) +
                              ": the true reward on these labels; agreement with it " +
                              percent(r.truth->agreement));
  }
  line("mean scores", "chosen " + decimals(r.mean_chosen) + ", rejected " +
                          decimals(r.mean_rejected) + ", margin " + decimals(r.mean_margin) +
                          " +- " + decimals(r.margin_deviation));
  line("calibration", "ECE " + decimals(r.ece) + ", MCE " + decimals(r.mce) + ", ACE " +
                          decimals(r.ace) + ", Brier " + decimals(r.brier));
  line("log loss", decimals(r.log_loss) + ", at temperature " + decimals(r.temperature) + " " +
                       decimals(r.calibrated_log_loss) + " (a coin: 0.6931)");
  line("length", "correlation " + decimals(r.length_correlation) +
                     "; the longer one is chosen in " + percent(r.label_prefers_longer) +
                     " of the labels, by the judge in " + percent(r.judge_prefers_longer));

  out += "margins\n";
  const int64_t most =
      std::max<int64_t>(*std::max_element(r.margins.counts.begin(), r.margins.counts.end()), 1);
  for (size_t i = 0; i < r.margins.counts.size(); ++i) {
    char place[48];
    std::snprintf(place, sizeof place, "  %9.3f  %6lld  ",
                  r.margins.start + r.margins.width * static_cast<double>(i),
                  static_cast<long long>(r.margins.counts[i]));
    out += place + std::string(static_cast<size_t>(50 * r.margins.counts[i] / most), '#') + "\n";
  }
  for (size_t i = 0; i < r.subsets.size(); ++i) {
    const Subset& s = r.subsets[i];
    if (i == 0 || s.column != r.subsets[i - 1].column) out += "by " + s.column + "\n";
    line("  " + s.value.substr(0, 40), percent(s.accuracy) + " (" + percent(s.interval.lower) +
                                           " to " + percent(s.interval.upper) + ") of " +
                                           str(s.pairs));
  }
  return out;
}

}  // namespace guerdon::eval
