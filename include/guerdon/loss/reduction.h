/// Exact accumulation: a loss returns its part's share of the whole optimizer step, so that shares
/// add up and nothing is scaled afterwards. Batch x accumulation x ranks is a speed knob only.
#pragma once

#include <string>

#include "guerdon/model/batch.h"

namespace guerdon {

/// What the whole optimizer step holds, over all micro-batches and ranks, counted before the first
/// backward.
struct Totals {
  double groups = 0;                      ///< pairs, prompts
  double rows = 0;                        ///< sequences
  double targets = 0;                     ///< target tokens with a weight other than 0
  double target_weight = 0;               ///< sum of Targets::weight
  std::map<std::string, double> columns;  ///< sums of Batch::columns, NaN left out
};

Totals totals_of(const Batch& batch);

}  // namespace guerdon
