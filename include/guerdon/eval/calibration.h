/// Does a judge's margin say how sure it may be, and which map makes it so? Calibrators are fitted
/// on pairs that they are not measured on.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "guerdon/base/json_reader.h"
#include "guerdon/math/calibration.h"
#include "guerdon/math/intervals.h"

namespace guerdon::eval {

/// What a map of margins to claims "my favourite is the better one" is worth.
struct CalibrationFigures {
  std::string method;  ///< "none", "temperature", "isotonic", "quantile"
  double ece = 0;      ///< over bins of equal width on [1/2, 1]
  double ace = 0;      ///< over bins of equal count
  double mce = 0, brier = 0;
  double log_loss = 0;  ///< claims kept within [1e-6, 1 - 1e-6]
  /// 95 %, by resampling the pairs (percentiles; the calibrator stays). Near 0 that of the ECE lies
  /// too high, as the ECE itself does.
  math::Interval ece_interval{0, 1}, brier_interval{0, 1};
  std::vector<math::ReliabilityBin> bins;
};

struct Calibration {
  int64_t pairs = 0;
  double accuracy = 0;  ///< no method changes it, ties aside: all but "quantile" keep the order
  math::Interval interval{0, 1};
  double temperature = 1;  ///< fitted on all pairs that are fitted on
  std::vector<CalibrationFigures> methods;
};

struct CalibrationOptions {
  int64_t bins = 10;
  int64_t folds = 5;  ///< without pairs to fit on: each fold is claimed by a fit of the others
  uint64_t seed = 42;
  int64_t resamples = 500;  ///< for the intervals
};

/// Margins r(chosen) - r(rejected) as they are (sigmoid), divided by a temperature, mapped by a
/// monotone function that treats both sides alike (isotonic regression of margins and their
/// negatives), and by quantile bins of |margin|. `fit` are other pairs of the same judge; when it
/// is empty, the margins are cross-fitted. Throws Error: Kind::bug when there are no margins or one
/// is not finite, Kind::settings when there are fewer margins than folds.
Calibration calibrate(std::span<const double> margins, std::span<const double> fit,
                      const CalibrationOptions& options = {});

/// {"pairs", "accuracy", "interval", "temperature", "methods": [{"name", "ece", ...}]}
Json calibration_json(const Calibration& result);
std::string calibration_text(const Calibration& result);

}  // namespace guerdon::eval
