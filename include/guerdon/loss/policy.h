/// Policy-gradient losses on the tokens that a policy wrote: GRPO and its relatives, as TRL 1.16
/// computes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/base/settings.h"
#include "guerdon/loss/reduction.h"
#include "guerdon/ops/policy_loss.h"
#include "guerdon/ops/tensor.h"

namespace guerdon::loss {

// ---- options

/// Named as in TRL's GRPOConfig.
struct PolicyOptions {
  std::string loss_type = "dapo";
  double epsilon = 0.2;
  std::optional<double> epsilon_high;
  std::optional<double> delta;
  std::string importance_sampling_level = "token";
  double beta = 0.0;
  bool use_bias_correction_kl = true;
  double top_entropy_quantile = 1.0;
  std::optional<double> off_policy_mask_threshold;
  double entropy_coef = 0.0;
  double sapo_temperature_neg = 1.05, sapo_temperature_pos = 1.0;
  double vespo_k_pos = 2.0, vespo_lambda_pos = 3.0, vespo_k_neg = 3.0, vespo_lambda_neg = 2.0;
};

void describe(SettingList& field, PolicyOptions& options);

/// What no single setting can tell: CISPO without an explicit epsilon_high (TRL falls back to 0.2,
/// which clamps every ratio to 0.2), luspo without the sequence level. Throws Error
/// (Kind::settings), or gives a sentence of warning in `warnings`.
void check_policy(const PolicyOptions& options, const std::string& where,
                  std::vector<std::string>& warnings);

// ---- the tokens

/// n target tokens of `rows` sequences; `factor` is the correction of the engine's log-probs, from
/// rollout_ratio().
using ops::PolicyTokens;

/// Only the tokens whose weight is not 0: masked values are left out, not multiplied by 0, so that
/// a NaN there stays there.
PolicyTokens live(const PolicyTokens& tokens);

/// Sums of values [n] over the tokens of each row -> [rows].
Tensor row_sum(const Tensor& values, const Tensor& row, int64_t rows);
/// Weighted means; 0 for a row without tokens.
Tensor row_mean(const Tensor& values, const PolicyTokens& tokens);

/// pi / pi_old of each token [n], differentiable, log-ratios clamped to [-20, 20]. "sequence"
/// (GSPO): the exponential of the mean log-ratio of the row, at each of its tokens.
Tensor importance_ratio(const PolicyTokens& tokens, const std::string& level);

// ---- terms: what one token contributes, before masks, KL and reduction

struct Surrogate {
  Tensor per_token;  ///< [n]; carries the gradient
  Tensor low, high;  ///< [n] float: 1 where the ratio left the trust region on that side, against
                     ///< the advantage
};

/// PPO's clipped term with TRL's cap: r = min(ratio, delta); -min(r A, clip(ratio, 1 - epsilon, 1 +
/// epsilon_high) A). With a negative advantage `delta` removes the gradient where PPO's clip keeps
/// it.
Surrogate clipped_surrogate(const Tensor& ratio, const Tensor& advantage,
                            const PolicyOptions& options);
/// GMPO: the clip acts on each token's log-ratio, the ratio is the geometric mean of the row.
Surrogate geometric_surrogate(const PolicyTokens& tokens, const PolicyOptions& options);
/// SAPO: -4 / t sigmoid(t (ratio - 1)) A, with a temperature t for each sign of A.
Surrogate soft_surrogate(const Tensor& ratio, const Tensor& advantage,
                         const PolicyOptions& options);
/// CISPO: -min(ratio, epsilon_high) A logp, the clipped ratio without gradient: every token keeps
/// one. `epsilon_high` is the largest ratio itself, not 1 + epsilon.
Surrogate cispo_surrogate(const Tensor& ratio, const PolicyTokens& tokens,
                          const PolicyOptions& options);
/// VESPO: -phi A logp. phi [n] = exp(lambda + k log w - lambda w) of the sequence's weight w = prod
/// pi / pi_sampling, no gradient.
Tensor vespo_weight(const PolicyTokens& tokens, const PolicyOptions& options);

// ---- masks and corrections

/// 1 for tokens whose entropy is at least the (1 - share) quantile of all: the `share` of them with
/// the highest. [n] float.
Tensor high_entropy_mask(const Tensor& entropy, double share);
/// DeepSeek-V3.2: 0 for rows with a negative advantage whose mean of (sampling - logprobs) is over
/// the threshold. [n] float.
Tensor off_policy_mask(const PolicyTokens& tokens, double threshold);

struct RolloutCorrection {
  std::string mode =
      "sequence_mask";  ///< token_truncate, token_mask, sequence_truncate, sequence_mask
  double clip_max = 3.0;
  std::optional<double> clip_min;
};
/// exp(old - sampling) by token, or of their sum by sequence; *_truncate clamps it, *_mask puts 0
/// outside the bounds. NaN counts as ratio 1. [n], no gradient.
Tensor rollout_ratio(const Tensor& old, const Tensor& sampling, const Tensor& row, int64_t rows,
                     const RolloutCorrection& options);

// ---- the loss

/// What reductions divide by beside the step's totals.
struct Divisors {
  double max_completion_length = 0;  ///< dr_grpo
  double generation_tokens = 0;  ///< dapo, cispo, vespo: tokens per optimizer step, averaged over
                                 ///< the collect; 0: the step's own
};

/// This part's share of the step's loss [scalar]:
///
///     grpo, sapo, gmpo     sum over rows of the mean over tokens / rows of the step
///     luspo                sum over rows of the sum over tokens  / rows of the step
///     bnpo                 sum over tokens / tokens of the step
///     dapo, cispo, vespo   sum over tokens / tokens per step, averaged over the collect
///     dr_grpo              sum over tokens / (rows of the step x max_completion_length)
///
/// `tokens` are live(). A row whose tokens are all masked still counts as a row.
Tensor reduce_policy(const Tensor& per_token, const PolicyTokens& tokens,
                     const std::string& loss_type, const Totals& whole, const Divisors& divisors);

struct PolicyLoss {
  Tensor value;          ///< scalar: this part's share
  ops::PolicySums sums;  ///< what is logged
};

/// TRL's order: term, off-policy mask, entropy mask, rollout ratio, + beta KL, reduction, -
/// entropy_coef mean entropy. The KL is not multiplied by masks and rollout ratio; with
/// use_bias_correction_kl (TRL's default) it is by the policy ratio, with its gradient, but for
/// gmpo. Float32 on the CPU goes through ops::policy_loss, in one pass; what is below is the
/// formula.
PolicyLoss policy_loss(const PolicyTokens& tokens, const PolicyOptions& options,
                       const Totals& whole, const Divisors& divisors);

/// The same by the functions above, of any type and device, and differentiable twice.
PolicyLoss composed_policy_loss(const PolicyTokens& tokens, const PolicyOptions& options,
                                const Totals& whole, const Divisors& divisors);

/// The formulas in force, as lines of text, with the options' numbers put in.
struct PolicyFormula {
  std::vector<std::string> term;     ///< of one token, ratio and masks
  std::vector<std::string> kl;       ///< what is added to it
  std::vector<std::string> divided;  ///< what the sum is divided by
};
/// Of `whole` the rows are told, of `divisors` the completion length.
PolicyFormula explain(const PolicyOptions& options, const Totals& whole, const Divisors& divisors);

}  // namespace guerdon::loss
