/// How good a judge is, from its scores of preference pairs: accuracy with an interval,
/// calibration, margins, subsets, and how far it follows length. Numbers in, numbers out; any
/// reward can be measured.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "guerdon/base/json_reader.h"
#include "guerdon/math/calibration.h"
#include "guerdon/math/intervals.h"
#include "guerdon/math/statistics.h"

namespace guerdon::eval {

/// A preference pair with a judge's scores. `lengths` count whatever text is counted in (characters
/// of the response).
struct ScoredPair {
  double chosen = 0, rejected = 0;
  double chosen_length = 0, rejected_length = 0;
  std::map<std::string, std::string> subsets = {};  ///< column to value: {"category": "safety"}
  /// The true rewards, where they are known: `guerdon data make` writes true_chosen and
  /// true_rejected.
  std::optional<double> true_chosen = {}, true_rejected = {};
};

/// Accuracy within the pairs that have `value` in `column`.
struct Subset {
  std::string column, value;
  int64_t pairs = 0;
  double accuracy = 0;
  math::Interval interval{0, 1};
  double mean_margin = 0;
};

/// What the true rewards say of the labels and of the judge.
struct Truth {
  double best_accuracy = 0;  ///< of a judge that knows the truth, on these labels
  double agreement =
      0;  ///< share of pairs, ties of the truth aside, that the judge orders as the truth does
  double rank_correlation =
      0;  ///< Spearman's, of margins against true margins; NaN when one does not vary
};

struct PairBenchmark {
  int64_t pairs = 0;
  int64_t ties = 0;               ///< equal scores; they count as wrong, as in TRL and RewardBench
  double accuracy = 0;            ///< share of pairs with chosen > rejected
  math::Interval interval{0, 1};  ///< Wilson, 95 %
  double mean_chosen = 0, mean_rejected = 0, mean_margin = 0, margin_deviation = 0;
  math::Histogram margins;  ///< divided at 0

  // Calibration of P(chosen preferred) = sigmoid(margin), folded (math/calibration.h).
  std::vector<math::ReliabilityBin> bins;  ///< ten over [1/2, 1]
  double ece = 0, mce = 0, ace = 0, brier = 0, log_loss = 0;
  double temperature = 1;          ///< that would calibrate the margins best
  double calibrated_log_loss = 0;  ///< with that temperature

  // Length.
  double length_correlation =
      0;  ///< Pearson's, of margin against length difference; NaN when one does not vary
  double label_prefers_longer = 0,
         judge_prefers_longer = 0;  ///< shares of pairs with unequal lengths; NaN without such
  /// Log odds that the label gains from one standard deviation of length difference beyond what the
  /// margin says: below 0, the judge is too fond of length; above 0, not enough. With its standard
  /// error. NaN when lengths do not vary.
  double length_effect = 0, length_effect_error = 0;

  std::vector<Subset> subsets;  ///< by column, then value
  std::optional<Truth> truth;   ///< when every pair has true rewards
};

/// Throws Error (Kind::bug) when there are no pairs or a score is not finite.
PairBenchmark benchmark(std::span<const ScoredPair> pairs);

/// The result as an object: what `--json` prints and the report reads.
Json benchmark_json(const PairBenchmark& result);

/// A summary for people, some fifteen lines.
std::string benchmark_text(const PairBenchmark& result);

}  // namespace guerdon::eval
