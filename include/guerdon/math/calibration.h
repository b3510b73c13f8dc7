/// Calibration: does a predicted probability come true as often as it says?
///
/// A reward model's margin d = r(chosen) - r(rejected) claims P(chosen is preferred) = sigmoid(d).
/// In a file of pairs the chosen one always won, so the claim is tested in its folded form: the
/// model says "my favourite wins" with confidence sigmoid(|d|) in [0.5, 1], and is right when d >
/// 0. `pair_predictions` makes that of margins.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace guerdon::math {

/// A claim and what happened, [n] each: `probability` in [0, 1], `outcome` 1 (it came true), 0, or
/// between (a tie is 1/2).
struct Predictions {
  std::vector<double> probability, outcome;
};

/// sigmoid(x), without overflow.
double sigmoid(double x);
/// log(1 + e^x), without overflow; -log sigmoid(d) is softplus(-d).
double softplus(double x);

/// The folded predictions of margins: probability sigmoid(|d|), outcome 1 for d > 0, 1/2 for d = 0,
/// 0 for d < 0.
Predictions pair_predictions(std::span<const double> margins);

struct ReliabilityBin {
  double lower, upper;  ///< probabilities in [lower, upper), the last bin's upper end included
  int64_t count = 0;
  double probability = 0;  ///< mean claim; NaN when empty
  double outcome = 0;      ///< mean outcome; NaN when empty
};

struct BinOptions {
  int64_t bins = 10;
  double lower = 0.0,
         upper = 1.0;  ///< range that the bins cover; claims outside count to the nearest bin
};

/// Bins of equal width. Throws Error (Kind::bug) on empty ranges, bins < 1, or sizes that differ;
/// so do the others.
std::vector<ReliabilityBin> reliability_bins(const Predictions& predictions,
                                             const BinOptions& options = {});
/// Bins of equal count (as equal as rounding allows; equal claims stay together), ends at the
/// claims.
std::vector<ReliabilityBin> equal_count_bins(const Predictions& predictions, int64_t bins = 10);

/// Expected calibration error (Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599, eq. 3): the
/// mean of |claim - outcome| over bins, weighted by their counts. Over equal_count_bins it is the
/// adaptive one (ACE). NaN when all are empty.
double expected_calibration_error(std::span<const ReliabilityBin> bins);
/// Mean of |claim - outcome| over the bins that are not empty, each counting once (MORE,
/// arXiv:2312.07401, where it is called ACE). NaN when all are empty.
double average_calibration_error(std::span<const ReliabilityBin> bins);
/// The largest |claim - outcome| of a bin that is not empty (eq. 5). NaN when all are empty.
double maximum_calibration_error(std::span<const ReliabilityBin> bins);

/// Mean squared error of the claims (Brier 1950): 0 is perfect, a coin that says 1/2 gets 1/4. NaN
/// when there are none.
double brier_score(const Predictions& predictions);

/// Mean of -log sigmoid(margin / temperature). NaN when there are none.
double pair_log_loss(std::span<const double> margins, double temperature = 1.0);

/// The temperature T that makes sigmoid(margin / T) likeliest (Guo et al. 2017, section 4.2), in
/// [0.001, 1000]. The ends mean that there is no optimum inside: every pair is right (lower end),
/// or the margins are no better than chance (upper end).
double fit_temperature(std::span<const double> margins);

/// A non-decreasing function through weighted points: constant outside, linear between.
struct MonotoneFit {
  std::vector<double> x, y;  ///< both non-decreasing
  double operator()(double at) const;
};

/// Least squares under monotonicity (pool adjacent violators, Ayer et al. 1955), as calibration by
/// isotonic regression does. Points with equal x are pooled first. Throws Error (Kind::bug) when
/// sizes differ or there are no points.
MonotoneFit isotonic_fit(std::span<const double> x, std::span<const double> y,
                         std::span<const double> weights = {});

/// A step function: value[i] up to and including upper[i], the last value beyond.
struct StepFit {
  std::vector<double> upper, value;  ///< upper rises
  double operator()(double at) const;
};

/// Calibration by quantile bins (Zadrozny and Elkan 2001): the mean of y within bins of x of equal
/// count, as equal as rounding allows; equal x stay together. Throws Error (Kind::bug) when sizes
/// differ, there are no points, or bins < 1.
StepFit quantile_fit(std::span<const double> x, std::span<const double> y, int64_t bins = 10);

}  // namespace guerdon::math
