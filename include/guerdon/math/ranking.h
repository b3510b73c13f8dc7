/// How well two orders agree, and how well scores find what they should. Kendall's and Spearman's
/// correlations and the area under the ROC curve are in statistics.h.
#pragma once

#include <cstdint>
#include <span>

namespace guerdon::math {

/// Kendall's tau with weights (Vigna 2015, "A weighted correlation index for rankings with ties"):
/// exchanges near the top count more.
///
///     tau = <x, y> / sqrt(<x, x> <y, y>),   <x, y> = sum over i < j of
///           sign(x_i - x_j) sign(y_i - y_j) (1 / (1 + r_i) + 1 / (1 + r_j))
///
/// with r the ranks from 0, the highest first: the mean of the values for the ranks by x (ties in
/// the order of y) and by y, as scipy.stats.weightedtau. O(n^2). NaN when one side does not vary.
/// Throws Error (Kind::bug) when the sizes differ; so do the others.
double weighted_kendall(std::span<const double> x, std::span<const double> y);

/// Normalised discounted cumulative gain of the first `k` (0: all) in falling order of `scores`:
///
///     DCG = sum over ranks j = 1, 2, ... of gain_j / log2(j + 1),   NDCG = DCG / its greatest
///     value
///
/// Items with equal scores share the mean of their gains. 0 when the greatest DCG is 0; NaN when
/// there are no items.
double ndcg(std::span<const double> scores, std::span<const double> gains, int64_t k = 0);

/// Rank-biased overlap (Webber, Moffat and Zobel 2010) of two orders of the same items, highest
/// first; equal values stand in the order of their index. A_d is the share of the first d that both
/// have.
struct RankBiasedOverlap {
  double truncated;     ///< (1 - p) sum over d = 1 .. n of p^(d - 1) A_d: a lower bound
  double extrapolated;  ///< the same, A_n going on for ever: 1 for equal orders
};
/// `persistence` p in (0, 1). NaN when there are no items.
RankBiasedOverlap rank_biased_overlap(std::span<const double> x, std::span<const double> y,
                                      double persistence = 0.9);

/// Area under the curve of precision over recall as a sum of steps, sum of (R_i - R_(i-1)) P_i over
/// the distinct scores from the top (average precision, as scikit-learn). NaN without positives.
double average_precision(std::span<const double> positives, std::span<const double> negatives);

/// The largest share of positives above a threshold that at most the share `false_positives` of the
/// negatives lies above (or at). NaN when one side is empty.
double true_positive_rate(std::span<const double> positives, std::span<const double> negatives,
                          double false_positives);

}  // namespace guerdon::math
