/// Choosing the next token.
#pragma once

#include <cstdint>
#include <span>

#include "guerdon/ops/restricted.h"

namespace guerdon::ops {

/// Order: temperature, top-k, top-p, min-p, draw (kernels.md F21). temperature 0 is greedy: the
/// arg-max, lowest id on ties.
struct SamplingOptions {
  double temperature = 1.0;
  int64_t top_k = 0;         ///< 0: all
  double top_p = 1.0;        ///< 1: all
  double min_p = 0.0;        ///< keeps p >= min_p * max p
  bool record_sets = false;  ///< gives Sampled::sets
};

struct Sampled {
  Tensor token;    ///< [N] int64; -1 for a row without a distribution (all -inf, or a NaN)
  Tensor logprob;  ///< [N] float32: log softmax(z / temperature) over the full vocabulary
                   ///< (temperature 1 when greedy)
  Tensor kept;     ///< [N] float32: mass of the tokens that top-k, top-p and min-p left; 1 for all
  KeptTokens sets = {};  ///< these tokens, where asked for: the token alone when greedy, none for a
                         ///< row without a distribution
};

/// One token for each row of logits [N, V]. `uniforms` [N] are numbers in (0, 1), one a row, from a
/// counter-based generator keyed by (seed, prompt, sample, position): a token does not depend on
/// the batch that it is drawn in. Inverse CDF over the kept tokens in id order, masses summed in
/// float64. `logprob` has the bits that token_stats gives.
Sampled sample_tokens(const Tensor& logits, std::span<const double> uniforms,
                      const LogitTransform& transform, const SamplingOptions& options);

}  // namespace guerdon::ops
