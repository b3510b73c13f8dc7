/// Losses on pairs of responses, by log-probabilities under a policy and a reference: DPO and its
/// relatives, under TRL's names.
#pragma once

#include <string>
#include <vector>

#include "guerdon/ops/tensor.h"

namespace guerdon::loss {

/// Summed log-probabilities of whole responses, each [B].
struct PairLogprobs {
  Tensor chosen;
  Tensor rejected;
};

/// Number of tokens of the responses, each [B] float. Only the losses that average over length read
/// it.
struct PairLengths {
  Tensor chosen;
  Tensor rejected;
};

/// One row per pair, [B]. Only `loss` carries a gradient; the algorithm reduces it over the step.
struct PairLoss {
  Tensor loss;
  Tensor chosen_reward;
  Tensor rejected_reward;
};

/// Named as in TRL, so that a configuration moves over unchanged.
struct DpoOptions {
  double beta = 0.1;             ///< pull towards the reference; larger stays closer to it
  double label_smoothing = 0.0;  ///< share of pairs taken to be mislabelled, in [0, 0.5)
  /// One loss or several, added with their weights (empty: all 1). See dpo().
  std::vector<std::string> loss_type = {"sigmoid"};
  std::vector<double> loss_weights = {};
  std::string f_divergence_type = "reverse_kl";
  double f_alpha_divergence_coef = 0.5;
  double discopop_tau = 0.05;
};

/// Direct Preference Optimization (Rafailov et al. 2023, arXiv:2305.18290, eq. 7) and the losses
/// that changed one thing in it.
///
/// With c, r the log-ratios policy - reference of chosen and rejected, b = beta, e =
/// label_smoothing, sg = sigmoid, L a response's tokens, f(x) the map of `f_divergence_type`, and h
/// = b (f(c) - f(r)):
///
///     sigmoid       -(1 - e) log sg(h) - e log sg(-h)      DPO; with e > 0 conservative DPO
///     robust        (-(1 - e) log sg(h) + e log sg(-h)) / (1 - 2 e)         arXiv:2403.00409
///     hinge         max(0, 1 - h)                                           arXiv:2305.10425
///     ipo           (f(c) / Lc - f(r) / Lr - 1 / (2 b))^2                   arXiv:2310.12036
///     exo_pair      KL( (sg(h), sg(-h)) || (1 - e, e) ), e > 0              arXiv:2402.00856
///     nca_pair      -log sg(b c) - (log sg(-b c) + log sg(-b r)) / 2        arXiv:2402.05369
///     bco_pair      -log sg(b c) - log sg(-b r)                             arXiv:2404.04656
///     sppo_hard     (c - 1 / (2 b))^2 + (r + 1 / (2 b))^2                   arXiv:2405.00675
///     apo_zero      1 - sg(b c) + sg(b r)                          arXiv:2408.06266, eq. 7
///     apo_down      sg(b c) + 1 - sg(b (c - r))                    arXiv:2408.06266, eq. 8
///     discopop      m = sg(h / tau):  -(1 - m) log sg(h) + m exp(-h)        arXiv:2406.08414
///     sigmoid_norm  -log sg(b (f(c) / Lc - f(r) / Lr))           length-normalised DPO
///     aot           policy margins against reference margins, each sorted over the batch,
///                   then `sigmoid`                                          arXiv:2406.05882
///     aot_unpaired  c against r, each sorted over the batch, then `sigmoid`
///
/// f: reverse_kl x; forward_kl 1 - exp(-x); js_divergence log 2 + log sg(x); alpha_divergence
/// (exp((a - 1) x) - 1) / (a - 1), with (a - 1) x at most 80 (arXiv:2309.16240). Rewards are b c
/// and b r.
///
/// "sft" is no loss of a pair: the algorithm adds it (train/dpo.h). No gradient flows into
/// `reference`. `lengths` below 1 count as 1. Throws Error (Kind::bug) when sizes differ, for an
/// unknown name, or for smoothing outside [0, 0.5); what settings can be wrong about is refused by
/// check_dpo_options first.
PairLoss dpo(const PairLogprobs& policy, const PairLogprobs& reference,
             const DpoOptions& options = {}, const PairLengths& lengths = {});

/// The names that loss_type may hold, "sft" included.
const std::vector<std::string>& dpo_loss_types();
/// The names that f_divergence_type may hold.
const std::vector<std::string>& f_divergence_types();
/// Whether one of the losses sorts over the batch, so that a step has to be seen as a whole.
bool needs_whole_batch(const DpoOptions& options);
/// Throws Error (Kind::settings) that names the key: weights that do not match, exo_pair without
/// smoothing, a divergence under a loss that has no place for it, a name that does not exist.
void check_dpo_options(const DpoOptions& options, const std::string& where);
/// The formulas in force, a line each, with the options' numbers put in.
std::vector<std::string> explain(const DpoOptions& options);

}  // namespace guerdon::loss
