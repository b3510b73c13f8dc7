/// Estimates of a divergence from the log-probs of the tokens that were drawn.
#pragma once

#include <limits>

#include "guerdon/ops/tensor.h"

namespace guerdon::ops {

enum class KlEstimate {
  k1,   ///< x; gradient 1: meant as a penalty inside the reward
  k2,   ///< x^2 / 2; its gradient, on-policy, is that of KL(policy || reference)
  k3,   ///< exp(-x) - 1 + x; its gradient, on-policy, is that of KL(reference || policy)
  abs,  ///< |x|
  k3_straight_through,  ///< value of k3, gradient of k2
};

struct KlEstimateOptions {
  double max_log_ratio = 20.0;  ///< x is clamped to [-max_log_ratio, max_log_ratio]
  double max_value = std::numeric_limits<double>::infinity();  ///< the value likewise
};

/// Per token, with x = logprobs - reference (kernels.md F5, after Schulman 2020, "Approximating KL
/// divergence"). The means of k1 and k3 over tokens of the policy are KL(policy || reference). k3
/// keeps a relative error below 1e-6 for all abs(x) <= 20, down to 0. The gradient is 0 where a
/// clamp is active; it flows to `reference` too, with the opposite sign, where that asks for one.
/// Shapes alike; float32 in one pass, other types by LibTorch's operators.
Tensor kl_estimate(const Tensor& logprobs, const Tensor& reference, KlEstimate kind,
                   const KlEstimateOptions& options = {});

}  // namespace guerdon::ops
