/// The pieces of a decoder layer that eager LibTorch leaves slow (kernels.md F24). Float32,
/// bfloat16 and float16 on the CPU are read once and written once, with arithmetic in float32;
/// other types and devices go through LibTorch's operators.
#pragma once

#include <cstdint>

#include "guerdon/ops/tensor.h"

namespace guerdon::ops {

/// x / sqrt(mean(x^2) + epsilon) * (weight + offset): x [..., H], weight [H]. Statistics in
/// float32; differentiable. `offset` is 1 for Gemma, whose weights are stored around zero.
Tensor rms_norm(const Tensor& x, const Tensor& weight, double epsilon, double offset = 0.0);

/// What a residual stream becomes, and its norm.
struct AddedNorm {
  Tensor sum;   ///< x + residual, rounded to their type
  Tensor norm;  ///< rms_norm(sum)
};

/// Both in one pass: x and residual [..., H] alike. Differentiable; the backward pass adds the two
/// gradients of the sum as it goes.
AddedNorm add_rms_norm(const Tensor& x, const Tensor& residual, const Tensor& weight,
                       double epsilon, double offset = 0.0);

/// Rotary position embedding: x [T, heads, D], cosine and sine [T, R / 2] float32 with even R <= D.
/// Rotates the first R dimensions, as two halves (Llama, the default) or as neighbouring pairs
/// (`interleaved`, GPT-J's). Differentiable in x.
Tensor rope(const Tensor& x, const Tensor& cosine, const Tensor& sine, bool interleaved = false);

/// silu(gate) * up, elementwise. Differentiable.
Tensor swiglu(const Tensor& gate, const Tensor& up);

/// gelu(gate) * up with gelu's tanh form, elementwise (Gemma). Differentiable.
Tensor geglu(const Tensor& gate, const Tensor& up);

/// Rows of a table: weight [V, H], ids [T] int64 -> [T, H]. The gradient sums the rows of equal ids
/// in row order.
Tensor embedding(const Tensor& weight, const Tensor& ids);

}  // namespace guerdon::ops
