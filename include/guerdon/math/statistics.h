/// Descriptive statistics of a few numbers: what evaluations and reports say about scores.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace guerdon::math {

/// NaN when there are no values.
double average(std::span<const double> values);

/// Sample standard deviation (denominator n - 1); 0 for one value, NaN for none.
double standard_deviation(std::span<const double> values);

/// The q-quantile, q in [0, 1], linear between order statistics (type 7 of Hyndman and Fan 1996,
/// the default of NumPy and R). NaN when there are no values. Throws Error (Kind::bug) when q lies
/// outside [0, 1].
double quantile(std::span<const double> values, double q);

/// Ranks 1 .. n, equal values sharing the mean of their ranks.
std::vector<double> ranks(std::span<const double> values);

/// Pearson's correlation in [-1, 1]; NaN when there are fewer than two values or one side does not
/// vary. Throws Error (Kind::bug) when the sizes differ, as do the next two.
double pearson(std::span<const double> x, std::span<const double> y);

/// Spearman's rank correlation: Pearson's of the ranks.
double spearman(std::span<const double> x, std::span<const double> y);

/// Kendall's tau-b, the pairs in the same order minus those in opposite order, corrected for ties
/// (Kendall 1945):
///
///     tau_b = (C - D) / sqrt((C + D + Tx) (C + D + Ty))
///
/// with Tx the pairs tied in x alone, Ty in y alone. NaN when one side does not vary. O(n log n)
/// (Knight 1966).
double kendall(std::span<const double> x, std::span<const double> y);

/// The probability that a positive's score lies above a negative's, ties counting half (area under
/// the ROC curve). NaN when one of the two is empty.
double auroc(std::span<const double> positives, std::span<const double> negatives);

/// Counts in bins of equal width; bin i is [start + i width, start + (i + 1) width).
struct Histogram {
  double start = 0, width = 1;
  std::vector<int64_t> counts;
};

struct HistogramOptions {
  int64_t bins = 0;  ///< 0: by Freedman and Diaconis (1981), between 8 and 40
  std::optional<double> divide =
      {};  ///< a value that begins a bin when it lies inside the range (margins: 0)
};

/// The bins that hold all values; those that are not finite are left out. Without values, empty
/// bins over [0, 1].
Histogram histogram(std::span<const double> values, const HistogramOptions& options = {});

}  // namespace guerdon::math
