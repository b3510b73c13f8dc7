/// What a regression of a rating says about each rating there is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace guerdon::math {

/// I_x(a, b), the regularised incomplete beta function: P(Beta(a, b) <= x). For a, b in (0, 1e4]
/// and x in [0, 1] within 1e-12 (continued fraction, DLMF 8.17.22). Throws Error (Kind::bug)
/// outside.
double incomplete_beta(double a, double b, double x);

struct RatingDistributionOptions {
  int64_t levels = 5;           ///< ratings 0 .. levels - 1
  double concentration = 24.0;  ///< HelpSteer2's, picked to match the ratings that were trained on
  /// Where one rating ends and the next begins. "midpoints": halfway between them, so that the two
  /// outer ones have half the room; "equal": all have the same. Which of them the paper means is
  /// not confirmed.
  std::string edges = "midpoints";
};

/// P(rating = n) for n = 0 .. levels - 1 of a predicted `rating` in [0, levels - 1] (clamped, and
/// kept 1e-4 of the range from both ends): r = rating / (levels - 1), Beta(c r, c (1 - r)) over the
/// bins (SteerLM 2.0, arXiv:2406.08673). They add up to 1.
std::vector<double> rating_probabilities(double rating,
                                         const RatingDistributionOptions& options = {});

}  // namespace guerdon::math
