#include "guerdon/loss/policy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "guerdon/base/error.h"
#include "guerdon/base/formula.h"
#include "guerdon/ops/kl_estimate.h"

namespace guerdon::loss {
namespace {

constexpr double kMaxLogRatio = 20.0;  // exp(20) = 4.9e8 is still finite in float32 after a product

Tensor flags(const Tensor& condition, const Tensor& model) {
  return condition.to(model.scalar_type());
}

double or_one(double divisor) { return divisor > 0 ? divisor : 1.0; }

double epsilon_high(const PolicyOptions& o) { return o.epsilon_high.value_or(o.epsilon); }

Surrogate unclipped(const Tensor& per_token) {
  const Tensor none = at::zeros_like(per_token).detach();
  return {per_token, none, none};
}

/// What explain() says of a loss_type: the term of a token, and what the sum of terms is divided
/// by.
struct Form {
  const char* name;
  const char* term;
  const char* reduction;
};
constexpr const char* kClipped = "-min(r A, clip(r, {1 - epsilon}, {1 + epsilon_high}) A)";
constexpr const char* kOverRows =
    "sum over rows of the mean over their tokens / {rows of the step}";
constexpr const char* kOverCollect =
    "sum over tokens / tokens of an optimizer step, averaged over the collect";
constexpr Form kForms[] = {
    {"dapo", kClipped, kOverCollect},
    {"grpo", kClipped, kOverRows},
    {"bnpo", kClipped, "sum over tokens / tokens of the step"},
    {"dr_grpo", kClipped, "sum over tokens / ({rows of the step} x {max_completion_length})"},
    {"luspo", kClipped, "sum over rows of the sum over their tokens / {rows of the step}"},
    {"sapo", "-4 / t sg(t (r - 1)) A, t = {t+} where A > 0, else {t-}; sg the sigmoid", kOverRows},
    {"gmpo",
     "-exp(mean over the row of the log-ratio, clipped at {epsilon_high} where A >= 0, else at "
     "-{epsilon}) A",
     kOverRows},
    {"cispo", "-min(r, {epsilon_high}) A log p, with no gradient through the minimum",
     kOverCollect},
    {"vespo",
     "-phi A log p, phi = exp(l + k log w - l w) without gradient, w the ratio of the whole row; "
     "k = {k+}, l = {l+} where A >= 0, else k = {k-}, l = {l-}",
     kOverCollect},
};

std::vector<std::string> loss_types() {
  std::vector<std::string> names;
  for (const Form& form : kForms) names.emplace_back(form.name);
  return names;
}

const Tensor& old_of(const PolicyTokens& t, const Tensor& own) {
  return t.old.defined() ? t.old : own;
}

bool over_rows(const std::string& loss_type) {
  return loss_type == "grpo" || loss_type == "sapo" || loss_type == "gmpo";
}

double divisor_of(const std::string& loss_type, const Totals& whole, const Divisors& divisors) {
  if (over_rows(loss_type) || loss_type == "luspo") return or_one(whole.rows);
  if (loss_type == "bnpo") return or_one(whole.target_weight);
  if (loss_type == "dr_grpo") return or_one(whole.rows * divisors.max_completion_length);
  GUERDON_CHECK(loss_type == "dapo" || loss_type == "cispo" || loss_type == "vespo",
                "reduce_policy: unknown loss_type ", loss_type);
  return or_one(divisors.generation_tokens > 0 ? divisors.generation_tokens : whole.target_weight);
}

Tensor entropy_mask_of(const PolicyTokens& t, const PolicyOptions& o) {
  return o.top_entropy_quantile < 1.0 ? high_entropy_mask(t.entropy, o.top_entropy_quantile)
                                      : Tensor();
}

/// What the terms are multiplied by, without gradient; undefined: 1.
Tensor factor_of(const PolicyTokens& t, const PolicyOptions& o, const Tensor& entropy_mask) {
  Tensor factor = o.loss_type == "vespo" ? vespo_weight(t, o) : t.factor;
  const auto times = [&](const Tensor& x) { factor = factor.defined() ? factor * x : x; };
  if (o.off_policy_mask_threshold) times(off_policy_mask(t, *o.off_policy_mask_threshold));
  if (entropy_mask.defined()) times(entropy_mask);
  return factor;
}

/// - entropy_coef x mean entropy: this part's share.
Tensor entropy_bonus(const PolicyTokens& t, const PolicyOptions& o, const Tensor& entropy_mask,
                     const Totals& whole) {
  if (o.entropy_coef == 0.0) return at::zeros({}, t.logprobs.options());
  const Tensor weight =
      entropy_mask.defined() ? entropy_mask : t.weight.to(t.entropy.scalar_type());
  // A quantile needs the whole step at once, so then this part is the whole.
  const double tokens =
      entropy_mask.defined() ? entropy_mask.sum().item<double>() : whole.target_weight;
  return -o.entropy_coef * (t.entropy * weight).sum() / or_one(tokens);
}

/// The options as ops::policy_loss takes them.
ops::PolicyObjective objective_of(const PolicyOptions& o, const Totals& whole,
                                  const Divisors& divisors) {
  ops::PolicyObjective out{.row_ratio = o.importance_sampling_level == "sequence",
                           .low = 1.0 - o.epsilon,
                           .high = 1.0 + epsilon_high(o),
                           .positive_temperature = o.sapo_temperature_pos,
                           .negative_temperature = o.sapo_temperature_neg,
                           .beta = o.beta,
                           .kl_times_ratio = o.use_bias_correction_kl,
                           .row_means = over_rows(o.loss_type),
                           .divisor = divisor_of(o.loss_type, whole, divisors)};
  if (o.delta) out.cap = *o.delta;
  if (o.loss_type == "sapo") out.term = ops::PolicyTerm::soft;
  if (o.loss_type == "vespo") out.term = ops::PolicyTerm::plain;
  if (o.loss_type == "gmpo") {
    out.term = ops::PolicyTerm::geometric;
    out.low = -o.epsilon, out.high = epsilon_high(o);
  }
  if (o.loss_type == "cispo") {
    GUERDON_CHECK(o.epsilon_high, "cispo: epsilon_high must be given");
    out.term = ops::PolicyTerm::detached;
    out.high = *o.epsilon_high;
  }
  return out;
}

/// Of live tokens.
ops::PolicySums sums_of(const PolicyTokens& t, const Surrogate& term, const Tensor& kl) {
  const auto sum = [&](const Tensor& values) {
    return (values.detach() * t.weight).sum(at::kDouble);
  };
  const bool any = t.rows > 0;
  const Tensor none = at::zeros({}, at::kDouble);
  ops::PolicySums out{.live = t.logprobs.numel(),
                      .low = sum(term.low),
                      .high = sum(term.high),
                      .least_low = any ? row_mean(term.low, t).min() : none,
                      .most_high = any ? row_mean(term.high, t).max() : none};
  const Tensor own = t.logprobs.detach();
  if (kl.defined()) {
    const auto estimate = [&](ops::KlEstimate kind) {
      return sum(ops::kl_estimate(own, t.reference, kind));
    };
    out.kl = sum(kl);
    out.k1 = estimate(ops::KlEstimate::k1);
    out.k2 = estimate(ops::KlEstimate::k2);
    out.k3 = estimate(ops::KlEstimate::k3);
  }
  if (t.entropy.defined()) out.entropy = sum(t.entropy);
  if (t.sampling.defined()) {
    const Tensor difference = (old_of(t, own) - t.sampling).abs();
    out.difference = sum(difference);
    out.largest_difference = difference.numel() > 0 ? difference.max() : none;
  }
  return out;
}

}  // namespace

void describe(SettingList& field, PolicyOptions& o) {
  field("loss_type", o.loss_type, "How token losses are formed and averaged",
        {.choices = loss_types()});
  field("epsilon", o.epsilon, "Ratios below 1 - epsilon are clipped", {.min = 0.0, .below = 1.0});
  field(
      "epsilon_high", o.epsilon_high,
      "Ratios above 1 + epsilon_high are clipped (null: epsilon); CISPO: the largest ratio itself",
      {.above = 0.0});
  field("delta", o.delta, "Cap on the ratio itself, before the minimum (null: none)",
        {.above = 0.0});
  field("importance_sampling_level", o.importance_sampling_level,
        "Ratio of each token, or of the sequence (GSPO)", {.choices = {"token", "sequence"}});
  field("beta", o.beta, "Weight of the KL term; 0 loads no reference", {.min = 0.0});
  field("use_bias_correction_kl", o.use_bias_correction_kl,
        "Multiply the KL by the policy ratio, so that its gradient is that of KL(policy || "
        "reference)");
  field("top_entropy_quantile", o.top_entropy_quantile,
        "Share of the tokens, those of highest entropy, that the policy term uses",
        {.max = 1.0, .above = 0.0});
  field("off_policy_mask_threshold", o.off_policy_mask_threshold,
        "Drop negative rows that drifted further than this (null: keep all)");
  field("entropy_coef", o.entropy_coef, "Weight of the entropy bonus", {.min = 0.0});
  field("sapo_temperature_neg", o.sapo_temperature_neg, "SAPO: temperature of negative advantages",
        {.above = 0.0});
  field("sapo_temperature_pos", o.sapo_temperature_pos, "SAPO: temperature of positive advantages",
        {.above = 0.0});
  field("vespo_k_pos", o.vespo_k_pos, "VESPO: power for non-negative advantages", {.min = 0.0});
  field("vespo_lambda_pos", o.vespo_lambda_pos, "VESPO: decay for non-negative advantages",
        {.min = 1e-4});
  field("vespo_k_neg", o.vespo_k_neg, "VESPO: power for negative advantages", {.min = 0.0});
  field("vespo_lambda_neg", o.vespo_lambda_neg, "VESPO: decay for negative advantages",
        {.min = 1e-4});
}

void check_policy(const PolicyOptions& o, const std::string& where,
                  std::vector<std::string>& warnings) {
  if (o.loss_type == "cispo" && !o.epsilon_high) {
    fail_settings(where,
                  "key epsilon_high: must be given with loss_type cispo, where it is the largest "
                  "ratio itself (5.0 is usual)");
  }
  const bool sequence = o.importance_sampling_level == "sequence";
  if (o.loss_type == "luspo" && !sequence)
    warnings.push_back("loss_type luspo is meant for importance_sampling_level sequence");
  if (o.loss_type == "vespo" && sequence)
    warnings.push_back("loss_type vespo is meant for importance_sampling_level token");
  if (sequence && (o.loss_type == "dapo" || o.loss_type == "bnpo" || o.loss_type == "dr_grpo")) {
    warnings.push_back("importance_sampling_level sequence with loss_type " + o.loss_type +
                       " lets long sequences weigh more; grpo or luspo is usual");
  }
}

PolicyTokens live(const PolicyTokens& t) {
  const Tensor at = t.weight.nonzero().squeeze(1);
  if (at.size(0) == t.weight.size(0)) return t;
  const auto keep = [&](const Tensor& values) {
    return values.defined() ? values.index_select(0, at) : values;
  };
  return {.logprobs = keep(t.logprobs),
          .old = keep(t.old),
          .reference = keep(t.reference),
          .sampling = keep(t.sampling),
          .entropy = keep(t.entropy),
          .factor = keep(t.factor),
          .advantage = keep(t.advantage),
          .row = keep(t.row),
          .weight = keep(t.weight),
          .rows = t.rows};
}

Tensor row_sum(const Tensor& values, const Tensor& row, int64_t rows) {
  return at::zeros({rows}, values.options()).index_add(0, row, values);
}

Tensor row_mean(const Tensor& values, const PolicyTokens& t) {
  const Tensor weight = t.weight.to(values.scalar_type());
  const Tensor total = row_sum(weight, t.row, t.rows);
  return row_sum(values * weight, t.row, t.rows) /
         at::where(total > 0, total, at::ones_like(total));
}

Tensor importance_ratio(const PolicyTokens& t, const std::string& level) {
  const Tensor own = t.logprobs.detach();
  Tensor log_ratio = t.logprobs - old_of(t, own).detach();
  if (level == "sequence") log_ratio = row_mean(log_ratio, t).index_select(0, t.row);
  return log_ratio.clamp(-kMaxLogRatio, kMaxLogRatio).exp();
}

Surrogate clipped_surrogate(const Tensor& ratio, const Tensor& advantage, const PolicyOptions& o) {
  const double low = 1.0 - o.epsilon, high = 1.0 + epsilon_high(o);
  const Tensor capped = o.delta ? ratio.clamp_max(*o.delta) : ratio;
  const Tensor free = capped * advantage, clipped = ratio.clamp(low, high) * advantage;
  return {.per_token = -at::where(free <= clipped, free, clipped),
          .low = flags((capped < low) & (advantage < 0), ratio.detach()),
          .high = flags((capped > high) & (advantage > 0), ratio.detach())};
}

Surrogate geometric_surrogate(const PolicyTokens& t, const PolicyOptions& o) {
  const Tensor own = t.logprobs.detach();
  const Tensor log_ratio = t.logprobs - old_of(t, own).detach();
  const Tensor clipped = at::where(t.advantage >= 0, log_ratio.clamp_max(epsilon_high(o)),
                                   log_ratio.clamp_min(-o.epsilon));
  const Tensor ratio =
      row_mean(clipped, t).clamp(-kMaxLogRatio, kMaxLogRatio).exp().index_select(0, t.row);
  return {.per_token = -ratio * t.advantage,
          .low = flags((log_ratio < -o.epsilon) & (t.advantage < 0), own),
          .high = flags((log_ratio > epsilon_high(o)) & (t.advantage > 0), own)};
}

Surrogate soft_surrogate(const Tensor& ratio, const Tensor& advantage, const PolicyOptions& o) {
  const Tensor t = at::where(advantage > 0, at::full_like(advantage, o.sapo_temperature_pos),
                             at::full_like(advantage, o.sapo_temperature_neg));
  return unclipped(-at::sigmoid(t * (ratio - 1.0)) * 4.0 / t * advantage);
}

Surrogate cispo_surrogate(const Tensor& ratio, const PolicyTokens& t, const PolicyOptions& o) {
  GUERDON_CHECK(o.epsilon_high, "cispo: epsilon_high must be given");
  const Tensor fixed = ratio.detach();
  return {.per_token = -fixed.clamp_max(*o.epsilon_high) * t.advantage * t.logprobs,
          .low = at::zeros_like(fixed),
          .high = flags((fixed > *o.epsilon_high) & (t.advantage > 0), fixed)};
}

Tensor vespo_weight(const PolicyTokens& t, const PolicyOptions& o) {
  const double smallest = std::log(1e-8);
  const Tensor own = t.logprobs.detach();
  Tensor log_w = row_sum((own - old_of(t, own)).clamp(-kMaxLogRatio, kMaxLogRatio), t.row, t.rows);
  if (t.factor.defined())
    log_w = log_w + row_sum(t.factor.log().clamp(smallest, kMaxLogRatio), t.row, t.rows);
  const Tensor w = log_w.clamp(smallest, kMaxLogRatio).index_select(0, t.row);
  const Tensor positive = flags(t.advantage >= 0, own);
  const Tensor k = positive * o.vespo_k_pos + (1.0 - positive) * o.vespo_k_neg;
  const Tensor lambda = positive * o.vespo_lambda_pos + (1.0 - positive) * o.vespo_lambda_neg;
  return (lambda + k * w - lambda * w.exp()).exp().nan_to_num(0.0, 0.0, 0.0);
}

Tensor high_entropy_mask(const Tensor& entropy, double share) {
  const Tensor values = entropy.detach();
  if (values.numel() == 0) return at::zeros_like(values);
  return flags(values >= at::quantile(values, 1.0 - share), values);
}

Tensor off_policy_mask(const PolicyTokens& t, double threshold) {
  const Tensor own = t.logprobs.detach();
  const Tensor& sampling = t.sampling.defined() ? t.sampling : old_of(t, own);
  const Tensor drift =
      row_mean((sampling.detach() - own).nan_to_num(0.0), t).index_select(0, t.row);
  return flags((t.advantage >= 0) | (drift <= threshold), own);
}

Tensor rollout_ratio(const Tensor& old, const Tensor& sampling, const Tensor& row, int64_t rows,
                     const RolloutCorrection& o) {
  const bool by_sequence = o.mode.starts_with("sequence_");
  GUERDON_CHECK(o.mode == "token_truncate" || o.mode == "token_mask" ||
                    o.mode == "sequence_truncate" || o.mode == "sequence_mask",
                "rollout_ratio: unknown mode ", o.mode);
  Tensor difference = (old.detach() - sampling).nan_to_num(0.0);
  if (by_sequence) difference = row_sum(difference, row, rows).index_select(0, row);
  const Tensor ratio = difference.exp();
  const double low = o.clip_min.value_or(0.0);
  if (o.mode.ends_with("_truncate")) return ratio.clamp(low, o.clip_max);
  return at::where((ratio < low) | (ratio > o.clip_max), at::zeros_like(ratio), ratio);
}

Tensor reduce_policy(const Tensor& per_token, const PolicyTokens& t, const std::string& loss_type,
                     const Totals& whole, const Divisors& divisors) {
  const Tensor sum = over_rows(loss_type)
                         ? row_mean(per_token, t).sum()
                         : (per_token * t.weight.to(per_token.scalar_type())).sum();
  return sum / divisor_of(loss_type, whole, divisors);
}

PolicyLoss policy_loss(const PolicyTokens& tokens, const PolicyOptions& o, const Totals& whole,
                       const Divisors& divisors) {
  if (!tokens.logprobs.is_cpu() || tokens.logprobs.scalar_type() != at::kFloat)
    return composed_policy_loss(tokens, o, whole, divisors);
  // Masks and VESPO's weights are made of the live tokens; the kernel finds these by itself.
  const bool plain = o.loss_type != "vespo" && !o.off_policy_mask_threshold &&
                     o.top_entropy_quantile >= 1.0 && o.entropy_coef == 0.0;
  PolicyTokens t = plain ? tokens : live(tokens);
  const Tensor entropy_mask = entropy_mask_of(t, o);
  t.factor = factor_of(t, o, entropy_mask);
  const ops::PolicyLoss out = ops::policy_loss(t, objective_of(o, whole, divisors));
  return {out.loss + entropy_bonus(t, o, entropy_mask, whole), out.sums};
}

PolicyLoss composed_policy_loss(const PolicyTokens& tokens, const PolicyOptions& o,
                                const Totals& whole, const Divisors& divisors) {
  const PolicyTokens t = live(tokens);
  const Tensor entropy_mask = entropy_mask_of(t, o), factor = factor_of(t, o, entropy_mask);
  const Tensor ratio = importance_ratio(t, o.importance_sampling_level);
  const Surrogate term = o.loss_type == "sapo"    ? soft_surrogate(ratio, t.advantage, o)
                         : o.loss_type == "gmpo"  ? geometric_surrogate(t, o)
                         : o.loss_type == "cispo" ? cispo_surrogate(ratio, t, o)
                         : o.loss_type == "vespo" ? unclipped(-t.advantage * t.logprobs)
                                                  : clipped_surrogate(ratio, t.advantage, o);
  Tensor loss = term.per_token;
  if (factor.defined()) loss = loss * factor;
  Tensor kl;
  if (o.beta != 0.0) {
    // In float64, where it can be differentiated twice.
    kl = ops::kl_estimate(t.logprobs.to(at::kDouble), t.reference.detach().to(at::kDouble),
                          ops::KlEstimate::k3)
             .to(t.logprobs.scalar_type());
    if (o.use_bias_correction_kl && o.loss_type != "gmpo") kl = kl * ratio;
    loss = loss + o.beta * kl;
  }
  return {reduce_policy(loss, t, o.loss_type, whole, divisors) +
              entropy_bonus(t, o, entropy_mask, whole),
          sums_of(t, term, kl)};
}

PolicyFormula explain(const PolicyOptions& o, const Totals& whole, const Divisors& divisors) {
  const auto* form = std::find_if(std::begin(kForms), std::end(kForms),
                                  [&](const Form& f) { return o.loss_type == f.name; });
  GUERDON_CHECK(form != std::end(kForms), "explain: unknown loss_type ", o.loss_type);
  const std::map<std::string, double> values = {
      {"epsilon", o.epsilon},
      {"epsilon_high", epsilon_high(o)},
      {"1 - epsilon", 1.0 - o.epsilon},
      {"1 + epsilon_high", 1.0 + epsilon_high(o)},
      {"delta", o.delta.value_or(0.0)},
      {"beta", o.beta},
      {"entropy_coef", o.entropy_coef},
      {"top_entropy_quantile", o.top_entropy_quantile},
      {"off_policy_mask_threshold", o.off_policy_mask_threshold.value_or(0.0)},
      {"t+", o.sapo_temperature_pos},
      {"t-", o.sapo_temperature_neg},
      {"k+", o.vespo_k_pos},
      {"k-", o.vespo_k_neg},
      {"l+", o.vespo_lambda_pos},
      {"l-", o.vespo_lambda_neg},
      {"rows of the step", whole.rows},
      {"max_completion_length", divisors.max_completion_length}};
  const auto both = [&](const std::string& formula) {
    const std::string named = symbols(formula), filled = numbers(formula, values);
    return named == filled ? named : named + "  =  " + filled;
  };
  PolicyFormula out;
  out.term.push_back(both(form->term));
  out.term.push_back(o.importance_sampling_level == "sequence"
                         ? "r = exp(mean over the row's tokens of log p - log p_old), the same for "
                           "each of its tokens"
                         : "r = p / p_old of each token");
  const bool clipped = form->term == kClipped;
  if (clipped && o.delta) out.term.push_back(both("the r that is not clipped is at most {delta}"));
  if (o.off_policy_mask_threshold) {
    out.term.push_back(
        both("0 for rows with A < 0 whose mean of log p_sampling - log p exceeds "
             "{off_policy_mask_threshold}"));
  }
  if (o.top_entropy_quantile < 1.0) {
    out.term.push_back(
        both("0 but for the share {top_entropy_quantile} of the step's tokens with the highest "
             "entropy"));
  }
  if (o.beta != 0.0) {
    const bool corrected = o.use_bias_correction_kl && o.loss_type != "gmpo";
    out.kl.push_back(both(corrected ? "+ {beta} r k3" : "+ {beta} k3") +
                     ", inside the loss of each token");
    out.kl.emplace_back(
        "k3 = exp(-x) - 1 + x with x = log p - log p_ref, clamped to [-20, 20]; no mask above "
        "applies to it");
  } else {
    out.kl.emplace_back("none: beta is 0, and no reference is loaded");
  }
  out.divided.push_back(both(form->reduction));
  if (o.entropy_coef != 0.0) {
    out.divided.push_back(both("then - {entropy_coef} x mean entropy of the step's tokens"));
  }
  return out;
}

}  // namespace guerdon::loss
