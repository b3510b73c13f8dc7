#include "guerdon/train/grpo.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/loss/advantage.h"
#include "guerdon/model/logprobs.h"
#include "guerdon/train/rollout_log.h"

namespace guerdon::train {
namespace {

constexpr double kDegenerateShare =
    0.5;  // of groups without a difference, and of completions that were cut

// Log-probs of all targets, without graph, a group at a time.
Tensor target_logprobs(model::Decoder& model, const Batch& batch, double temperature) {
  const at::NoGradGuard no_gradient;
  std::vector<Tensor> parts;
  for (int64_t g = 0; g + 1 < static_cast<int64_t>(batch.group.size()); ++g) {
    parts.push_back(
        model::logprobs(model, take(batch, std::vector<int64_t>{g}).sequences, temperature));
  }
  return at::cat(parts);
}

}  // namespace

Grpo::Grpo(const GrpoSettings& settings, const std::string& where, GrpoWorld world)
    : settings_(settings),
      where_(where),
      world_(std::move(world)),
      plan_(plan_grpo(settings, where)),
      sampling_{.max_new_tokens = settings.max_completion_length,
                .sampling = settings.sampling,
                .stop_ids = generate::stop_ids_of(world_.folder, world_.words->tokenizer()),
                .stop = settings.stop,
                .seed = static_cast<uint64_t>(settings.train.seed),
                .slots = settings.slots} {
  GUERDON_CHECK(settings.loss.beta == 0.0 || world_.reference || world_.adapter, "Grpo: beta is ",
                settings.loss.beta, ", and there is no reference");
  if (sampling_.stop_ids.empty() && sampling_.stop.empty()) {
    log::warning(
        where +
        ": the model names no end token, so every completion runs to max_completion_length");
  }
  if (!generate::full_vocabulary(settings.sampling)) {
    log::warning(where +
                 ": top_p, top_k, min_p or repetition_penalty cut the vocabulary while generating, "
                 "but log-probs are of the whole "
                 "one: their ratio is biased");
  }
}

void Grpo::parts(Parts& parts) {
  parts.module("policy", *world_.policy);
  if (world_.reference)
    parts.module("reference", *world_.reference, {.moving = settings_.sync_ref_model});
  parts.nested("reward", *world_.reward);
}

int64_t Grpo::steps_per_epoch() const {
  return (world_.prompts->per_epoch() + plan_.prompts - 1) / plan_.prompts * plan_.steps();
}

void Grpo::save(NewFolder& folder) {
  if (world_.adapter)
    return model::write_adapter(folder, *world_.policy, "default", world_.folder.string());
  model::write_decoder(folder, *world_.policy, save_options(world_.folder, *world_.words));
}

// Prompts become rollouts, rollouts become rewards, rewards become advantages. A pure function of
// the step, the weights and the reward's state: nothing else has to survive a resume.
Batch Grpo::collect(int64_t step) {
  if (step == 0) probe(0, "before");
  const int64_t first = step / plan_.steps() * plan_.prompts;
  std::vector<generate::Prompt> prompts;
  for (int64_t i = 0; i < plan_.prompts; ++i) prompts.push_back(world_.prompts->at(first + i));
  rollouts_ = sample(prompts, settings_.num_generations, sampling_, step);
  groups_ = generate::group_offsets(rollouts_);
  collected_at_ = step;
  scores_ = world_.reward->score({rollouts_, groups_, step, *this});
  const Tensor advantage = advantages(scores_, groups_);

  Batch batch = generate::pack(rollouts_, {.mask_truncated = settings_.mask_truncated_completions,
                                           .share_prefixes = world_.policy->shares_prefixes()});
  batch.columns["reward"] = scores_.total;
  batch.columns["advantage"] = advantage;
  batch.plan = {.iterations = plan_.iterations, .minibatches = plan_.minibatches};
  Targets& targets = batch.sequences.targets;
  if (plan_.steps() > 1) {
    // The weights move before the last of these rows is used: what they were now is kept.
    targets.columns["old"] = target_logprobs(*world_.policy, batch, settings_.sampling.temperature);
    const double tokens =
        targets.weight.sum().item<double>() / static_cast<double>(plan_.minibatches);
    batch.columns["generation_tokens"] = at::full({batch.sequences.rows()}, tokens, at::kDouble);
  }
  if (settings_.loss.beta != 0.0) targets.columns["reference"] = reference_logprobs(batch);
  metrics_ = rollout_metrics(rollouts_, groups_, scores_);
  metrics_.push_back({"advantage_abs_mean", advantage.abs().mean()});
  diagnose(value_of(metrics_, "frac_reward_zero_std"),
           value_of(metrics_, "completions/clipped_ratio"));
  note_samples(step, advantage);
  return batch;
}

std::vector<Rollout> Grpo::sample(const std::vector<generate::Prompt>& prompts, int64_t count,
                                  const generate::EngineOptions& options, int64_t step) {
  generate::Engine engine(*world_.policy, world_.words->tokenizer(), options);
  std::vector<Rollout> rollouts = engine.sample(prompts, count);
  for (Rollout& rollout : rollouts) {
    if (rollout.finish == Finish::aborted) throw CollectStopped();
    rollout.version = step;
  }
  return rollouts;
}

std::vector<std::string> Grpo::evaluation_sets() const {
  std::vector<std::string> names;
  for (const auto& [name, prompts] : world_.evaluation) names.push_back(name);
  return names;
}

std::optional<std::vector<Metric>> Grpo::evaluate(const std::string& set) {
  const auto named = std::find_if(world_.evaluation.begin(), world_.evaluation.end(),
                                  [&](const auto& entry) { return entry.first == set; });
  GUERDON_CHECK(named != world_.evaluation.end(), "no evaluation set is called ", set);
  const Prompts& prompts = *named->second;
  generate::EngineOptions whole = sampling_;
  whole.stoppable = false;
  const std::vector<Rollout> answers = sample(
      prompts.first(prompts.rows()),
      settings_.num_generations_eval.value_or(settings_.num_generations), whole, collected_at_);
  const std::vector<int64_t> groups = generate::group_offsets(answers);
  return rollout_metrics(answers, groups,
                         world_.reward->score({.rollouts = answers,
                                               .groups = groups,
                                               .step = collected_at_,
                                               .services = *this,
                                               .measuring = true}));
}

Tensor Grpo::reference_logprobs(const Batch& batch) {
  if (world_.reference)
    return target_logprobs(*world_.reference, batch, settings_.sampling.temperature);
  const model::AdapterScope without(*world_.policy, "");
  return target_logprobs(*world_.policy, batch, settings_.sampling.temperature);
}

Tensor Grpo::advantages(const Scores& scores, std::span<const int64_t> groups) const {
  const loss::AdvantageOptions options{.scale = loss::scale_of(settings_.scale_rewards)};
  if (settings_.multi_objective_aggregation == "sum_then_normalize") {
    return loss::group_advantages(scores.total, scores.weight, groups, options);
  }
  if (scores.weights.empty()) {
    fail_settings(
        where_,
        "key multi_objective_aggregation: normalize_then_sum needs a reward of kind \"sum\"");
  }
  const Tensor advantage =
      loss::normalize_then_sum(scores.components, scores.weights, scores.weight, groups, options);
  return at::where(scores.total.isnan(), at::zeros_like(advantage), advantage);
}

Outputs Grpo::forward(const Batch& part) {
  const ops::TokenStats stats = model::token_stats(
      *world_.policy, part.sequences, settings_.sampling.temperature, {.entropy = true});
  const bool trained = settings_.loss.entropy_coef != 0.0;
  return {.logprobs = stats.logprob, .entropy = trained ? stats.entropy : stats.entropy.detach()};
}

// The policy moves towards responses with a positive advantage, a clipped step at a time.
Loss Grpo::loss(const Outputs& out, const Batch& part, const Totals& whole) {
  const Targets& targets = part.sequences.targets;
  const auto column = [&](const char* name) {
    const auto found = targets.columns.find(name);
    return found == targets.columns.end() ? Tensor() : found->second;
  };
  const auto per_step = part.columns.find("generation_tokens");
  const loss::PolicyTokens tokens{
      .logprobs = out.logprobs,
      .old = column("old"),
      .reference = settings_.loss.beta != 0.0 ? column("reference") : Tensor(),
      .sampling = column("sampling"),
      .entropy = out.entropy,
      .factor = Tensor(),
      .advantage = part.columns.at("advantage").index_select(0, targets.row),
      .row = targets.row,
      .weight = targets.weight,
      .rows = part.sequences.rows()};
  const loss::PolicyLoss l = loss::policy_loss(
      tokens, settings_.loss, whole,
      {.max_completion_length = static_cast<double>(settings_.max_completion_length),
       .generation_tokens = per_step == part.columns.end() || per_step->second.numel() == 0
                                ? 0.0
                                : per_step->second[0].item<double>()});

  const ops::PolicySums& sums = l.sums;
  const auto token_mean = [&](const Tensor& sum) {
    return sum / (whole.target_weight > 0 ? whole.target_weight : 1.0);
  };
  std::vector<Metric> metrics = {
      {"policy_loss", l.value.detach()},
      {"entropy", token_mean(sums.entropy)},
      {"clip_ratio/low_mean", token_mean(sums.low)},
      {"clip_ratio/high_mean", token_mean(sums.high)},
      {"clip_ratio/region_mean", token_mean(sums.low + sums.high)},
  };
  if (sums.live > 0) {
    metrics.push_back({"clip_ratio/low_min", sums.least_low, Metric::Merge::min});
    metrics.push_back({"clip_ratio/high_max", sums.most_high, Metric::Merge::max});
    // What the engine recorded against what the trainer computes with the same weights: 1e-5 in
    // float32, always.
    metrics.push_back({"sampling/sampling_logp_difference/mean", token_mean(sums.difference)});
    metrics.push_back(
        {"sampling/sampling_logp_difference/max", sums.largest_difference, Metric::Merge::max});
    metrics.push_back({"sampling/logp_difference", sums.largest_difference, Metric::Merge::max});
  }
  if (sums.kl.defined()) {
    metrics.push_back({"kl", token_mean(sums.kl)});
    metrics.push_back({"kl/k1", token_mean(sums.k1)});
    metrics.push_back({"kl/k2", token_mean(sums.k2)});
    metrics.push_back({"kl/k3", token_mean(sums.k3)});
  }
  return {.value = l.value, .metrics = std::move(metrics)};
}

void Grpo::after_step(int64_t done) {
  if (settings_.sync_ref_model && done % settings_.ref_model_sync_steps == 0) {
    const at::NoGradGuard no_gradient;
    auto from = world_.policy->named_parameters();
    for (auto& item : world_.reference->named_parameters()) {
      item.value().lerp_(from[item.key()], settings_.ref_model_mixup_alpha);
    }
  }
  if (done == collected_at_ + plan_.steps()) {
    std::vector<std::pair<std::string, double>> numbers;
    for (const Metric& metric : metrics_)
      numbers.emplace_back(metric.name, metric.value.item<double>());
    const RewardBatch batch{rollouts_, groups_, collected_at_, *this};
    world_.reward->update({batch, scores_, numbers});
  }
  if (done == total_steps(settings_.train, steps_per_epoch())) probe(done, "after");
}

// How the policy answers a few prompts greedily, for the eye.
void Grpo::probe(int64_t step, const std::string& when) {
  if (!world_.samples || world_.probes.empty()) return;
  generate::EngineOptions greedy = sampling_;
  greedy.sampling = {.temperature = 0.0};
  std::vector<Rollout> answers;
  try {
    answers = sample(world_.probes, 1, greedy, step);
  } catch (const CollectStopped&) {
    return;
  }
  for (const Rollout& answer : answers) {
    Json row = sample_row(answer);
    row["when"] = when;
    world_.samples(step, row);
  }
}

// The rows that the report shows. They bear the number of the step that they feed, so that a
// resumed run, which drops what lies past its checkpoint, has each of them once.
void Grpo::note_samples(int64_t step, const Tensor& advantage) {
  if (!world_.samples) return;
  const auto count =
      std::min<int64_t>(settings_.num_completions_to_print, static_cast<int64_t>(rollouts_.size()));
  for (int64_t i = 0; i < count; ++i) {
    Json row = sample_row(rollouts_[static_cast<size_t>(i)], scores_, i);
    row["advantage"] =
        advantage[i].isfinite().item<bool>() ? Json(advantage[i].item<double>()) : Json(nullptr);
    world_.samples(step + 1, row);
  }
}

// Says in words why a step cannot teach anything.
void Grpo::diagnose(double flat, double truncated) {
  const int64_t step = collected_at_ + 1;
  const bool cut = truncated >= kDegenerateShare && flat >= kDegenerateShare;
  if (!cut && flat < 1.0) {
    told_ = 0;
    return;
  }
  if (told_++ % 20 != 0) return;  // the first of a row of such steps, then now and then
  const auto percent = [](double share) { return guerdon::str(std::lround(100 * share), " %"); };
  if (cut) {
    log::warning(guerdon::str("step ", step, ": ", percent(truncated),
                              " of the completions were cut at max_completion_length=",
                              settings_.max_completion_length, " and in ", percent(flat),
                              " of the groups all rewards are equal, so there is little to learn; "
                              "raise max_completion_length"));
  } else {
    log::warning(guerdon::str("step ", step,
                              ": all rewards are equal within every group, so there is nothing to "
                              "learn; the reward may be constant, "
                              "or the task too easy or too hard for this policy"));
  }
}

}  // namespace guerdon::train
