/// One optimizer step, and the norm of gradients that comes before it.
#pragma once

#include <cstdint>

#include "guerdon/ops/tensor.h"

namespace guerdon::ops {

/// sum x^2 over all elements, in float64 and in an order that does not depend on threads. NaN or
/// infinite where x is.
double square_sum(const Tensor& x);

struct AdamWStep {
  double learning_rate = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  int64_t step = 1;           ///< t, from 1
  double gradient_scale = 1;  ///< the gradient is read times this: what clipping asks for
};

/// Of one tensor, in place, in one pass (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2):
///
///     p <- p (1 - lr wd);  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
///     p <- p - lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps)
///
/// All four float32 (or all float64), contiguous or dense alike, of the same sizes; the gradient
/// stays as it is. Throws Error (Kind::bug) otherwise.
void adamw_step(const Tensor& parameter, const Tensor& gradient, const Tensor& first_moment,
                const Tensor& second_moment, const AdamWStep& options);

}  // namespace guerdon::ops
