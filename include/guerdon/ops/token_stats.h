/// Log-probability, entropy and log-sum-exp of tokens, from logits and, without ever storing them
/// whole, from hidden states.
#pragma once

#include <cstdint>

#include "guerdon/ops/tensor.h"

namespace guerdon::ops {

/// x -> scale x -> (softcap c > 0) c tanh(. / c) -> . / temperature (kernels.md section 1). All
/// outputs refer to the result z.
struct LogitTransform {
  double scale = 1.0;
  double softcap = 0.0;
  double temperature = 1.0;
};

/// What is wanted beside the log-prob; what is not asked for costs nothing.
struct StatsRequest {
  bool entropy = false;
  bool argmax = false;       ///< lowest index on ties
  bool mean_logit = false;   ///< mean over the vocabulary of the raw logits x
  bool sum_squares = false;  ///< log sum p^2
};

/// Per row; float32 (float64 for float64 input). Undefined where not asked for.
struct TokenStats {
  Tensor logprob;      ///< [N] log softmax(z)[token]; carries a gradient
  Tensor entropy;      ///< [N] carries a gradient
  Tensor lse;          ///< [N] log sum exp z; no gradient
  Tensor argmax;       ///< [N] int64
  Tensor mean_logit;   ///< [N]; no gradient
  Tensor sum_squares;  ///< [N]; no gradient
};

/// From logits [N, V] and tokens [N] int64 (kernels.md F1 and F2). Arithmetic in float32 at least.
/// Throws Error (Kind::bug) for a token outside [0, V).
TokenStats token_stats(const Tensor& logits, const Tensor& tokens,
                       const LogitTransform& transform = {}, const StatsRequest& request = {});

/// From hidden states [N, H] and the LM head, weight [V, H], bias [V] or undefined (kernels.md
/// F12): logits exist for one chunk of rows at a time, at most `workspace_bytes` of them, and are
/// computed again in the backward pass. Gradients flow to hidden, weight and bias where they are
/// asked for.
TokenStats linear_token_stats(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                              const Tensor& tokens, const LogitTransform& transform = {},
                              const StatsRequest& request = {},
                              int64_t workspace_bytes = int64_t{64} << 20);

}  // namespace guerdon::ops
