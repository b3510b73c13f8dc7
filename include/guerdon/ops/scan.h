/// Recurrences that run from the end of each sequence to its beginning: returns and advantages.
#pragma once

#include "guerdon/ops/tensor.h"

namespace guerdon::ops {

/// Which tokens there are. The tokens of sequence s are offsets[s] to offsets[s + 1] - 1.
struct ScanTokens {
  Tensor offsets;    ///< [S + 1] int64, rising from 0 to n
  Tensor mask = {};  ///< [n] bool: a token where it is false is passed over as if it were not
                     ///< there, and its result is 0; undefined: all count
};

/// y_t = b_t + a_t y_{t+1} (kernels.md F18), 0 beyond the last token; a_t = 0 cuts an episode off.
/// b and a [n] float32 or float64 -> [n] of b's type, no gradient. Each sequence is added from its
/// end in float64, so its bits depend on nothing else. Throws Error (Kind::bug) when sizes or types
/// disagree.
Tensor discounted_scan(const Tensor& b, const Tensor& a, const ScanTokens& tokens);

/// r_t + gamma r_{t+1} + gamma^2 r_{t+2} + ... to the end of the sequence.
Tensor reward_to_go(const Tensor& rewards, const ScanTokens& tokens, double gamma = 1.0);

struct GaeOptions {
  double gamma = 1.0;  ///< TRL's PPO default
  double lambda = 0.95;
  Tensor bootstrap = {};  ///< [S] value after the last token of a sequence that was cut off;
                          ///< undefined: 0
};
struct Gae {
  Tensor advantage;  ///< [n]
  Tensor returns;    ///< [n] advantage + value
};

/// Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438, eq. 16):
///
///     delta_t = r_t + gamma V_{t+1} - V_t,  A_t = delta_t + gamma lambda A_{t+1}
///
/// rewards and values [n], of one type. No gradient. As discounted_scan otherwise.
Gae gae(const Tensor& rewards, const Tensor& values, const ScanTokens& tokens,
        const GaeOptions& options = {});

}  // namespace guerdon::ops
