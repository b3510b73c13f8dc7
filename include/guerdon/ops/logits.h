/// What all operators on logits share: the way from raw logits to z, and which rows count.
#pragma once

#include <cstdint>

#include "guerdon/ops/tensor.h"

namespace guerdon::ops {

/// x -> scale x -> (softcap c > 0) c tanh(. / c) -> . / temperature (kernels.md section 1). All
/// outputs refer to the result z. -inf is legal and stays -inf: probability 0, gradient 0.
struct LogitTransform {
  double scale = 1.0;
  double softcap = 0.0;
  double temperature = 1.0;
  Tensor temperatures = {};  ///< [N] float32: one for each row, in place of `temperature`
};

/// Rows that are dead: their outputs and gradients are exactly 0, and their logits are never read.
struct LiveRows {
  Tensor mask = {};             ///< [N] bool or uint8, false where dead; undefined: all live
  int64_t ignore_index = -100;  ///< a row whose token is this is dead too
};

/// Sizes of the columns' slices: every reduction over the vocabulary is merged slice by slice, so
/// that no result depends on the number of rows or of threads.
inline constexpr int64_t kLogitSlice = 4096;

}  // namespace guerdon::ops
