/// The gradients of one optimizer step, part by part: exact for every way of cutting it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/train/algorithm.h"
#include "guerdon/train/metrics.h"

namespace guerdon::train {

/// How a step is cut into parts. A group is never split.
struct MicroBatches {
  int64_t groups = 8;  ///< groups per part
  int64_t tokens = 0;  ///< > 0: parts hold as many groups as fit into this many tokens instead
};

/// The groups of each part: consecutive, in their order.
std::vector<std::vector<int64_t>> cut(const Batch& batch, const MicroBatches& micro);

struct StepLoss {
  double loss = 0.0;
  Numbers metrics;
};

/// Adds the gradients of the step's loss to the parameters of `algorithm`, and returns the loss. An
/// additive loss goes part by part; one that needs the whole step, where that has several parts,
/// runs forward without graph for every part, calls `loss` once on the joined outputs, then runs
/// forward again part by part and feeds the gradients back.
StepLoss accumulate(Algorithm& algorithm, const Batch& step, const MicroBatches& micro);

/// Loss and metrics of an evaluation set, without gradient, over the set as a whole: a token mean
/// is over all its tokens, not over batches. A loss that needs its whole batch is averaged over the
/// batches by their groups. `totals` are filled the first time and may be kept.
StepLoss evaluate(Algorithm& algorithm, const std::string& set, std::optional<Totals>& totals);

}  // namespace guerdon::train
