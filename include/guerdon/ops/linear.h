/// Matrix products whose rows do not depend on the rest of the batch.
#pragma once

#include "guerdon/ops/tensor.h"

namespace guerdon::ops {

/// x W^T + b: x [..., in], weight [out, in], bias [out] or undefined. Differentiable.
///
/// fp32 vendor GEMMs on x86 give a row the same bits for every row count only when that count is
/// padded; so rows are padded with zeros to a multiple of 4 x threads before the product
/// (kernels.md section 6). The padding costs nothing from 64 rows on.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

}  // namespace guerdon::ops
