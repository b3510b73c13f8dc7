/// Private to `ops`: the plain forms, by LibTorch's operators alone. Differentiable as often as one
/// likes, of any device and type; what float64 takes, what the kernels are compared with, and what
/// is traced where there are no numbers to read.
#pragma once

#include "guerdon/ops/kl_estimate.h"
#include "guerdon/ops/segment.h"
#include "guerdon/ops/token_stats.h"
#include "kernels/cpu/kernels.h"

namespace guerdon::ops {

TokenStats composed_stats(const Tensor& logits, const Tensor& tokens,
                          const LogitTransform& transform, const StatsRequest& request);

/// Of z and w that have been transformed already: [N].
Tensor composed_divergence(const Tensor& z, const Tensor& w, kernels::DivergenceKind kind,
                           double beta);

Tensor composed_kl_estimate(const Tensor& logprobs, const Tensor& reference, KlEstimate kind,
                            const KlEstimateOptions& options);

SegmentLogprob composed_segment_logprob(const Tensor& values, const Tensor& row, int64_t rows,
                                        const Tensor& weight);

/// (logprob, lse) over sets of tokens, of z that has been transformed already.
std::pair<Tensor, Tensor> composed_restricted(const Tensor& z, const Tensor& tokens,
                                              const Tensor& offsets, const Tensor& ids,
                                              const Tensor& dropped);

}  // namespace guerdon::ops
