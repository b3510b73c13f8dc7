/// Policy-gradient losses in one pass over the tokens: value, gradient and the numbers to log.
#pragma once

#include <cstdint>
#include <limits>

#include "guerdon/ops/tensor.h"

namespace guerdon::ops {

/// n target tokens of `rows` sequences, token by token. What is optional may be undefined. Only
/// `logprobs` carries a gradient.
struct PolicyTokens {
  Tensor logprobs;   ///< [n]
  Tensor old;        ///< [n] under the weights before the update; undefined: logprobs themselves,
                     ///< so every ratio is 1
  Tensor reference;  ///< [n]; needed when beta is not 0
  Tensor sampling;   ///< [n] as the engine recorded them; undefined: old
  Tensor entropy;    ///< [n]
  Tensor factor;     ///< [n] multiplies the terms, not the KL: masks, and what corrects the
                     ///< engine's log-probs; undefined: 1
  Tensor advantage;  ///< [n]
  Tensor row;        ///< [n] int64 in [0, rows): the sequence of each token
  Tensor weight;     ///< [n] 0 = not the policy's, or masked: never read
  int64_t rows = 0;
};

/// What one token contributes, of its ratio r = p / p_old and advantage A.
enum class PolicyTerm {
  clipped,    ///< -min(min(r, cap) A, clip(r, low, high) A)
  geometric,  ///< -r A, r = exp(mean over the row of the log-ratio, that at most `high` where A >=
              ///< 0, else at least `low`)
  soft,       ///< -4 / t sigmoid(t (r - 1)) A, t by the sign of A
  detached,   ///< -min(r, high) A logp, no gradient through the minimum
  plain,      ///< -A logp
};

struct PolicyObjective {
  PolicyTerm term = PolicyTerm::clipped;
  bool row_ratio = false;  ///< r = exp(mean of the row's log-ratios), the same for all its tokens
  double low = 0.8, high = 1.2;  ///< of the ratio; of the log-ratio for `geometric`
  double cap = std::numeric_limits<double>::infinity();
  double positive_temperature = 1.0, negative_temperature = 1.0;  ///< `soft`
  double beta = 0.0;           ///< times k3 to the reference, added to the term
  bool kl_times_ratio = true;  ///< the KL is multiplied by r, with r's gradient (not `geometric`)
  bool row_means = false;      ///< sum over rows of the weighted mean over tokens, in place of the
                               ///< weighted sum over tokens
  double divisor = 1.0;        ///< of that sum, positive
};

/// Weighted sums over the live tokens, each a float64 scalar without gradient; undefined where an
/// input is missing.
struct PolicySums {
  int64_t live = 0;                       ///< tokens of a weight other than 0
  Tensor low, high;                       ///< 1 where the ratio left the trust region on that side,
                                          ///< against the advantage
  Tensor least_low, most_high;            ///< smallest and largest mean of a row, no sums
  Tensor kl;                              ///< as it enters the loss, times the ratio or not
  Tensor k1, k2, k3;                      ///< estimates of KL(policy || reference)
  Tensor entropy;                         //
  Tensor difference, largest_difference;  ///< abs(old - sampling); the second is no sum
};

struct PolicyLoss {
  Tensor loss;  ///< scalar
  PolicySums sums;
};

/// loss = sum of weight (factor term + beta kl) / divisor (kernels.md F17). Log-ratios are clamped
/// to [-20, 20]; where a clamp is active the gradient is 0, and where both branches of a minimum
/// are equal it is that of the unclipped one. Float32 on the CPU alone: guerdon/loss/policy.h has
/// the plain form for everything else, and for second derivatives. Sums are made in float64 in an
/// order that no thread count changes. Throws Error (Kind::bug) for other types, sizes that
/// disagree, a row outside [0, rows).
PolicyLoss policy_loss(const PolicyTokens& tokens, const PolicyObjective& objective);

}  // namespace guerdon::ops
