/// Log-probability, entropy and log-sum-exp of tokens, from logits and, without ever storing them
/// whole, from hidden states.
#pragma once

#include <cstdint>

#include "guerdon/ops/logits.h"

namespace guerdon::ops {

/// What is wanted beside the log-prob; what is not asked for costs nothing.
struct StatsRequest {
  bool entropy = false;
  bool argmax = false;       ///< of x, lowest index on ties
  bool mean_logit = false;   ///< mean of z over the columns that are not -inf
  bool sum_squares = false;  ///< log sum p^2
  bool raw_lse = false;      ///< log sum e^x, before the transform
};

/// Per row; float32 (float64 for float64 input). Undefined where not asked for. `logprob`, `lse`,
/// `entropy` and `mean_logit` carry gradients, the others none.
struct TokenStats {
  Tensor logprob;      ///< [N] log softmax(z)[token]
  Tensor entropy;      ///< [N], at least 0
  Tensor lse;          ///< [N] log sum e^z
  Tensor argmax;       ///< [N] int64
  Tensor mean_logit;   ///< [N]
  Tensor sum_squares;  ///< [N]
  Tensor raw_lse;      ///< [N]
};

/// From logits [N, V] (float32, bfloat16, float16; float64 as the reference) and tokens [N] int64
/// (kernels.md F1 and F2). The last dimension is contiguous, rows may be further apart than V.
/// `tokens` undefined: no log-prob. Arithmetic in float32, one read of the logits. A row with a NaN
/// or +inf gives NaN, and no other row does.
///
/// `logits_are_temporary`: the backward pass writes the gradient over the logits; a second one
/// then throws. Second derivatives exist in float64 only.
///
/// Throws Error (Kind::bug) for a live token outside [0, V), V = 0, sizes or types that do not fit,
/// a scale or temperature that is not finite and positive.
TokenStats token_stats(const Tensor& logits, const Tensor& tokens,
                       const LogitTransform& transform = {}, const StatsRequest& request = {},
                       const LiveRows& live = {}, bool logits_are_temporary = false);

/// How the operators on hidden states and an LM head work.
struct HeadOptions {
  /// Logits exist for one panel at a time, at most so many bytes of them; where all of them fit,
  /// the backward pass need not compute them again.
  int64_t workspace_bytes = int64_t{64} << 20;
  /// Logits of bfloat16 models in float32. Rounding them to bfloat16 alone moves a log-prob by
  /// 0.015 at a standard deviation of 1, and by 0.1 at 10.
  bool float_logits = true;
};

/// token_stats of hidden W^T + bias: hidden [N, H], weight [V, H], bias [V] or undefined
/// (kernels.md F12). Dead rows are taken out before the product. Gradients flow to hidden, weight
/// and bias where they are asked for. A row's bits do not depend on the other rows.
TokenStats linear_token_stats(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                              const Tensor& tokens, const LogitTransform& transform = {},
                              const StatsRequest& request = {}, const LiveRows& live = {},
                              const HeadOptions& options = {});

/// The logits themselves [N, V], float32 (float64 for float64), with the bits that
/// linear_token_stats sees: for an engine that samples. No gradient.
Tensor head_logits(const Tensor& hidden, const Tensor& weight, const Tensor& bias = {},
                   const HeadOptions& options = {});

/// Log-probs of K given tokens of each row: ids [N, K] int64 -> [N, K]; id -1 gives 0 (kernels.md
/// F4). Duplicates are allowed, K <= 1024. Differentiable.
Tensor gather_logprobs(const Tensor& logits, const Tensor& ids,
                       const LogitTransform& transform = {});

}  // namespace guerdon::ops
