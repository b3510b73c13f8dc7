/// Log-probs over the tokens that top-k, top-p or min-p had kept.
#pragma once

#include "guerdon/ops/token_stats.h"

namespace guerdon::ops {

/// A set of tokens for each of N rows, end to end.
struct KeptTokens {
  Tensor
      offsets;  ///< [N + 1] int64: the set of row n is ids[offsets[n]] to ids[offsets[n + 1] - 1]
  Tensor ids;   ///< int32, rising within a row
};

/// Per row; float32 (float64 for float64 input).
struct RestrictedLogprob {
  Tensor logprob;  ///< [N] z_y - lse; -inf, without gradient, for a token outside its set
  Tensor lse;      ///< [N] log of the sum of e^z over the set; less the lse of all tokens it is the
                   ///< log of the mass that was kept
  Tensor dropped;  ///< [N] bool: the token lies outside its set
};

/// log softmax over the kept set S (kernels.md F11), from logits [N, V] and tokens [N] int64. Where
/// tokens were drawn from a truncated distribution, a ratio of two policies is unbiased only when
/// both are taken over the same set, that of the draw (Sampled::sets). A set of all tokens gives
/// the bits of token_stats. Gradients of logprob and lse to the logits, 0 outside S. Throws Error
/// (Kind::bug) as token_stats does, for an empty set, and for ids that do not rise within [0, V).
RestrictedLogprob restricted_logprob(const Tensor& logits, const Tensor& tokens,
                                     const KeptTokens& kept, const LogitTransform& transform = {});

/// The same of hidden W^T + bias, logits one chunk of rows at a time. Gradients to hidden, weight
/// and bias where they are asked for.
RestrictedLogprob linear_restricted_logprob(const Tensor& hidden, const Tensor& weight,
                                            const Tensor& bias, const Tensor& tokens,
                                            const KeptTokens& kept,
                                            const LogitTransform& transform = {},
                                            const HeadOptions& head = {});

}  // namespace guerdon::ops
