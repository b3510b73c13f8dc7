/// Which pairs of a batch one model lets another learn from.
#pragma once

#include "guerdon/ops/tensor.h"

namespace guerdon::loss {

/// The pairs that a peer keeps (Collaborative Reward Modeling, Zhang et al. 2025,
/// arXiv:2505.10597): the ceil(rate B) whose margins by the peer, chosen - rejected [B], are
/// largest; at least one, the first of equals, none whose margin is not a number. [B] bool; `rate`
/// in (0, 1].
Tensor kept_by_peer(const Tensor& margins, double rate);

/// The share that is kept after `done` of all steps: 1 - noise min(1, done / (warmup total)), so
/// that a model that knows little yet throws nothing away. Not confirmed to be the paper's.
double keep_rate(double noise, double warmup, int64_t done, int64_t total);

}  // namespace guerdon::loss
