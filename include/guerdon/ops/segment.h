/// Sums over the tokens of each sequence.
#pragma once

#include <cstdint>

#include "guerdon/ops/tensor.h"

namespace guerdon::ops {

/// Of each sequence, [rows].
struct SegmentLogprob {
  Tensor sum;     ///< sum of weight x value; carries a gradient
  Tensor mean;    ///< sum / weight, 0 for a sequence without weight; carries a gradient
  Tensor weight;  ///< sum of the weights: the number of tokens where these are 1
};

/// Sums and means of `values` [n], such as log-probs, over the tokens of each sequence (kernels.md
/// F22): row [n] int64 says whose token each is, in [0, rows); `weight` [n] what it counts
/// (undefined: 1). A token of weight 0 is left out, whatever its value is (NaN included), and
/// adding such tokens changes no bit. Accumulated in float64 in token order, returned in the type
/// of `values`, float32 at least. Throws Error (Kind::bug) when sizes disagree or a row lies
/// outside.
SegmentLogprob segment_logprob(const Tensor& values, const Tensor& row, int64_t rows,
                               const Tensor& weight = {});

}  // namespace guerdon::ops
