#include "guerdon/train/grpo.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/log.h"
#include "guerdon/data/truncation.h"
#include "guerdon/loss/advantage.h"
#include "guerdon/model/logprobs.h"
#include "guerdon/model/reward_model.h"
#include "guerdon/reward/model_reward.h"
#include "guerdon/reward/registry.h"
#include "guerdon/train/feed.h"

namespace guerdon::train {
namespace {

constexpr double kDegenerateShare =
    0.5;  // of groups without a difference, and of completions that were cut

Metric number(const std::string& name, double value) {
  return {name, at::scalar_tensor(value, at::kDouble)};
}

Tensor sum_share(const Tensor& values, const Tensor& weight, double total) {
  return (values.detach() * weight).sum(at::kDouble) / (total > 0 ? total : 1.0);
}

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

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double x : values) sum += x;
  return values.empty() ? std::numeric_limits<double>::quiet_NaN()
                        : sum / static_cast<double>(values.size());
}

// Mean and sample deviation of the numbers that are there.
std::pair<double, double> moments(const Tensor& column) {
  const Tensor values = column.to(at::kDouble);
  const Tensor there = values.masked_select(values.isfinite());
  const double mean =
      there.numel() > 0 ? there.mean().item<double>() : std::numeric_limits<double>::quiet_NaN();
  return {mean, there.numel() > 1 ? there.std().item<double>() : 0.0};
}

// reward_weights: TRL's way to say the weights.
void weigh(Json& node, const std::vector<double>& weights, const std::string& where) {
  const bool sum = node.is_object() && node.contains("of") && node["of"].is_array();
  const size_t count = sum ? node["of"].size() : 1;
  if (weights.size() != count) {
    fail_settings(where, guerdon::str("key reward_weights: must have one number for each of the ",
                                      count, " rewards, got ", weights.size()));
  }
  for (size_t i = 0; i < count; ++i) {
    Json& child = sum ? node["of"][i] : node;
    if (child.is_object()) child["weight"] = weights[i];
  }
}

void require_prompts(const std::string& file, data::DatasetType type, const std::string& form) {
  switch (type) {
    case data::DatasetType::prompt_only:
    case data::DatasetType::prompt_completion:
    case data::DatasetType::preference:
    case data::DatasetType::unpaired_preference: return;
    default:
      fail_input(file, "holds " + form + "; prompts are needed",
                 "data.columns=[\"OURS=THEIRS\"] renames columns");
  }
}

Json sample_row(const Rollout& rollout) {
  Json row = Json::object();
  if (rollout.example) {
    const auto* messages = std::get_if<Conversation>(&rollout.example->prompt);
    row["id"] = rollout.example->id;
    row["prompt"] = messages ? conversation_json(*messages)
                             : Json(std::get<std::string>(rollout.example->prompt));
  }
  row["completion"] = rollout.text;
  row["tokens"] = rollout.tokens.size();
  row["finish_reason"] = name_of(rollout.finish);
  return row;
}

}  // namespace

void describe(SettingList& field, GrpoSettings& s) {
  describe(field, s.train);
  field("reward", s.reward,
        "What judges the completions: {\"use\": NAME, ...}; `guerdon rewards` lists the names");
  describe(field, s.loss);
  describe(field, s.sampling);
  field("num_generations", s.num_generations, "Completions of each prompt", {.min = 2});
  field("max_completion_length", s.max_completion_length, "Tokens that a completion may have",
        {.min = 1});
  field("max_prompt_length", s.max_prompt_length,
        "Longer prompts lose their beginning (null: none does)", {.min = 1});
  field("generation_batch_size", s.generation_batch_size,
        "Completions of one collect (null: from steps_per_generation)", {.min = 2});
  field("steps_per_generation", s.steps_per_generation,
        "Forward passes that one collect feeds (null: gradient_accumulation_steps)", {.min = 1});
  field("num_iterations", s.num_iterations, "Passes over each collect", {.min = 1});
  field("scale_rewards", s.scale_rewards,
        "Advantages are divided by the deviation of the group, of the batch, or not at all",
        {.choices = {"group", "batch", "none"}});
  field("multi_objective_aggregation", s.multi_objective_aggregation,
        "Sum the rewards and normalise, or normalise each and sum",
        {.choices = {"sum_then_normalize", "normalize_then_sum"}});
  field("reward_weights", s.reward_weights,
        "Weights of the rewards in \"of\", in their order (in place of their \"weight\")");
  field("mask_truncated_completions", s.mask_truncated_completions,
        "Leave completions out of the loss that were cut at max_completion_length");
  field("sync_ref_model", s.sync_ref_model,
        "Move the reference towards the policy every ref_model_sync_steps");
  field("ref_model_mixup_alpha", s.ref_model_mixup_alpha,
        "Share of the policy in the new reference", {.min = 0.0, .max = 1.0});
  field("ref_model_sync_steps", s.ref_model_sync_steps,
        "Optimizer steps between two moves of the reference", {.min = 1});
  field("stop", s.stop, "Texts that end a completion, beside the model's end tokens");
  field("slots", s.slots,
        "Completions that are generated side by side; no effect on what they become", {.min = 1});
  field("num_completions_to_print", s.num_completions_to_print,
        "Completions of each collect that go to samples.jsonl", {.min = 0});
  field("report.probes", s.probes,
        "Prompts that are answered greedily before and after, for samples.jsonl", {.min = 0});
  field("chat_template_path", s.chat_template_path,
        "Jinja file or model folder whose chat template is used instead of the model's");
  field.group("lora", s.lora);
}

Explanation explanation_of(const GrpoSettings& s, const std::string& where) {
  const GrpoPlan plan = plan_grpo(s, where);
  const int64_t step = s.train.per_device_train_batch_size * s.train.gradient_accumulation_steps;
  const loss::PolicyFormula formula =
      loss::explain(s.loss, {.rows = static_cast<double>(step)},
                    {.max_completion_length = static_cast<double>(s.max_completion_length)});
  const double epsilon = loss::AdvantageOptions().epsilon;
  Section advantage{.title = "advantage of a completion", .lines = {}};
  if (s.multi_objective_aggregation == "normalize_then_sum") {
    advantage.lines.push_back(
        "each reward by itself: (R - mean of its group) / (deviation + epsilon); their weighted "
        "sum "
        "is normalised over the collect");
  } else {
    const std::string mean = "A = (R - mean of its group)";
    advantage.lines.push_back(s.scale_rewards == "none" ? mean
                              : s.scale_rewards == "group"
                                  ? mean + " / (deviation of its group + epsilon)"
                                  : mean + " / (deviation of the collect + epsilon)");
  }
  if (s.scale_rewards != "none" || s.multi_objective_aggregation == "normalize_then_sum") {
    advantage.lines.push_back(
        guerdon::str("epsilon = ", epsilon, ", deviation with divisor n - 1"));
  }
  advantage.lines.push_back(
      guerdon::str("R: the reward's total; a group: the ", s.num_generations,
                   " completions of a prompt. A group whose rewards are all equal has A = 0"));
  Section term{.title = "loss of a token", .lines = formula.term};
  term.lines.emplace_back(
      plan.steps() > 1
          ? "p_old: the trainer's own log-probs before the first update of a collect"
          : "p_old = p: each collect feeds one update, so every r is 1 and nothing is clipped");
  if (s.mask_truncated_completions) {
    term.lines.emplace_back("0 for completions that were cut at max_completion_length");
  }
  Section kl{.title = "KL from the reference", .lines = formula.kl};
  if (s.loss.beta != 0.0) {
    kl.lines.emplace_back(s.lora.r > 0 ? "p_ref: the policy without its adapter"
                                       : "p_ref: the starting model");
    if (s.sync_ref_model) {
      kl.lines.push_back(guerdon::str("every ", s.ref_model_sync_steps, " steps it becomes ",
                                      1.0 - s.ref_model_mixup_alpha, " of itself + ",
                                      s.ref_model_mixup_alpha, " of the policy"));
    }
  }
  GrpoSettings copy = s;
  return {
      {.title = "collect",
       .lines = {guerdon::str(plan.prompts, " prompts x ", s.num_generations,
                              " completions (num_generations), at temperature ",
                              s.sampling.temperature, ", at most ", s.max_completion_length,
                              " tokens each"),
                 guerdon::str("it feeds ", plan.minibatches, " optimizer step",
                              plan.minibatches == 1 ? "" : "s", " x ", plan.iterations, " pass",
                              plan.iterations == 1 ? "" : "es", " (num_iterations)")}},
      advantage,
      term,
      kl,
      {.title = "correction of the engine's log-probs",
       .lines =
           {"none: engine and trainer share weights and numerics; "
            "sampling/logp_difference in every step's metrics shows by how much they differ "
            "(1e-5 in float32)",
            "log p = log softmax(z / temperature) over the whole vocabulary, in the record and "
            "in the loss"}},
      {.title = "divided by", .lines = formula.divided},
      {.title = "signs",
       .lines = {"the loss is minimised: completions with A > 0 become more likely",
                 "its value says little (about 0 where every r is 1 and advantages cancel); watch "
                 "reward"}},
      explain_step(s.train, "completions"),
      explain_settings(
          settings_of(copy),
          {"loss_type", "epsilon", "epsilon_high", "delta", "importance_sampling_level", "beta",
           "use_bias_correction_kl", "scale_rewards", "multi_objective_aggregation",
           "num_generations", "num_iterations", "top_entropy_quantile", "entropy_coef",
           "mask_truncated_completions"}),
  };
}

GrpoPlan plan_grpo(const GrpoSettings& s, const std::string& where) {
  const auto refuse = [&](const std::string& key, const std::string& what) {
    fail_settings(where, "key " + key + ": " + what);
  };
  if (s.generation_batch_size && s.steps_per_generation) {
    refuse("steps_per_generation", "must not be given together with generation_batch_size");
  }
  if (s.sampling.temperature <= 1e-5) {
    refuse("temperature", "must be above 0: greedy completions of one prompt are all the same");
  }
  if (s.sync_ref_model && s.lora.r > 0)
    refuse("sync_ref_model", "with LoRA the reference is the model without its adapter");
  if (s.sync_ref_model && s.loss.beta == 0.0)
    refuse("sync_ref_model", "needs beta above 0: without it there is no reference");
  const int64_t rows = s.train.per_device_train_batch_size,
                accumulation = s.train.gradient_accumulation_steps;
  const int64_t step = rows * accumulation;  // completions of an optimizer step
  if (step % s.num_generations != 0) {
    refuse("num_generations",
           guerdon::str("must divide the completions of an optimizer step, "
                        "per_device_train_batch_size x gradient_accumulation_steps = ",
                        step, ", got ", s.num_generations));
  }
  const int64_t collect =
      s.generation_batch_size.value_or(rows * s.steps_per_generation.value_or(accumulation));
  if (collect % step != 0) {
    refuse(s.generation_batch_size ? "generation_batch_size" : "steps_per_generation",
           guerdon::str("one collect must feed whole optimizer steps of ", step,
                        " completions, but has ", collect));
  }
  std::vector<std::string> warnings;
  loss::check_policy(s.loss, where, warnings);
  for (const std::string& warning : warnings) log::warning(where + ": " + warning);
  return {.prompts = collect / s.num_generations,
          .minibatches = collect / step,
          .iterations = s.num_iterations};
}

Prompts::Prompts(const TrainSettings& settings, std::shared_ptr<const Words> words,
                 int64_t max_length)
    : words_(std::move(words)), max_length_(max_length) {
  const data::DataSource::Options options = source_options(settings.data);
  std::vector<int64_t> sizes;
  for (const std::string& file : settings.data.train) {
    sources_.emplace_back(file, options);
    require_prompts(file, sources_.back().type(), sources_.back().form());
    sizes.push_back(sources_.back().size());
  }
  sampler_.emplace(std::move(sizes),
                   data::SamplerOptions{.seed = static_cast<uint64_t>(settings.seed),
                                        .shuffle = settings.train_sampling_strategy == "random",
                                        .weights = settings.data.weights});
}

generate::Prompt Prompts::at(int64_t n) const {
  return prompt(sampler_->at(n / per_epoch(), n % per_epoch()), static_cast<uint64_t>(n));
}

std::vector<generate::Prompt> Prompts::first(int64_t count) const {
  std::vector<generate::Prompt> out;
  for (int64_t row = 0; row < std::min(count, sources_[0].size()); ++row) {
    out.push_back(prompt({.source = 0, .row = row}, static_cast<uint64_t>(row)));
  }
  return out;
}

generate::Prompt Prompts::prompt(const data::Place& place, uint64_t key) const {
  auto example =
      std::make_shared<Example>(sources_[static_cast<size_t>(place.source)].at(place.row));
  std::vector<int64_t> tokens = words_->encoder().prompt(example->prompt, example->fields);
  if (max_length_ > 0 && data::truncate_prompt(tokens, max_length_) != data::Cut::whole) ++cut_;
  return {.example = std::move(example), .tokens = std::move(tokens), .key = key};
}

std::string Prompts::fingerprint() const {
  Sha256 sum;
  for (const data::DataSource& source : sources_) sum.add(source.fingerprint() + "\n");
  sum.add(guerdon::str("max_prompt_length ", max_length_));
  return sum.hex();
}

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
  generate::Engine engine(*world_.policy, world_.words->tokenizer(), sampling_);
  std::vector<Rollout> rollouts = engine.sample(prompts, settings_.num_generations);
  for (Rollout& rollout : rollouts) {
    if (rollout.finish == Finish::aborted) throw CollectStopped();
    rollout.version = step;
  }
  rollouts_ = std::move(rollouts);
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
  note_metrics(advantage);
  note_samples(step, advantage);
  return batch;
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
      .rollout_ratio = Tensor(),
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

  const loss::PolicyTokens& t = l.tokens;
  const auto token_mean = [&](const Tensor& values) {
    return sum_share(values, t.weight, whole.target_weight);
  };
  std::vector<Metric> metrics = {
      {"policy_loss", l.value.detach()},
      {"entropy", token_mean(t.entropy)},
      {"clip_ratio/low_mean", token_mean(l.low)},
      {"clip_ratio/high_mean", token_mean(l.high)},
      {"clip_ratio/region_mean", token_mean(l.low + l.high)},
  };
  if (t.logprobs.numel() > 0) {
    metrics.push_back({"clip_ratio/low_min", loss::row_mean(l.low, t).min(), Metric::Merge::min});
    metrics.push_back({"clip_ratio/high_max", loss::row_mean(l.high, t).max(), Metric::Merge::max});
    // What the engine recorded against what the trainer computes with the same weights: 1e-5 in
    // float32, always.
    const Tensor own = t.old.defined() ? t.old : t.logprobs.detach();
    const Tensor difference = (own - t.sampling).abs();
    metrics.push_back({"sampling/sampling_logp_difference/mean", token_mean(difference)});
    metrics.push_back(
        {"sampling/sampling_logp_difference/max", difference.max(), Metric::Merge::max});
    metrics.push_back({"sampling/logp_difference", difference.max(), Metric::Merge::max});
  }
  if (l.kl.defined()) {
    metrics.push_back({"kl", token_mean(l.kl)});
    const Tensor own = t.logprobs.detach();
    for (const auto& [name, kind] :
         {std::pair("kl/k1", loss::Kl::k1), std::pair("kl/k2", loss::Kl::k2),
          std::pair("kl/k3", loss::Kl::k3)}) {
      metrics.push_back({name, token_mean(loss::kl_estimate(own, t.reference, kind))});
    }
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
  generate::Engine engine(*world_.policy, world_.words->tokenizer(), greedy);
  const std::vector<Rollout> answers = engine.sample(world_.probes, 1);
  if (std::any_of(answers.begin(), answers.end(),
                  [](const Rollout& r) { return r.finish == Finish::aborted; }))
    return;
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
    Json row = sample_row(rollouts_[static_cast<size_t>(i)]);
    const auto put = [](const Tensor& x) {
      return x.isfinite().item<bool>() ? Json(x.item<double>()) : Json(nullptr);
    };
    row["reward"] = put(scores_.total[i]);
    for (size_t k = 0; k < scores_.names.size(); ++k) {
      row["rewards"][scores_.names[k]] = put(scores_.components[i][static_cast<int64_t>(k)]);
    }
    row["advantage"] = put(advantage[i]);
    if (!scores_.notes.empty() && !scores_.notes[static_cast<size_t>(i)].empty())
      row["note"] = scores_.notes[static_cast<size_t>(i)];
    world_.samples(step + 1, row);
  }
}

// TRL's names. Lengths are those of the completions, "terminated" those that ended by themselves.
void Grpo::note_metrics(const Tensor& advantage) {
  const Scores& scores = scores_;
  metrics_.clear();
  const auto add = [&](const std::string& name, double value) {
    metrics_.push_back(number(name, value));
  };
  const auto [mean, deviation] = moments(scores.total);
  add("reward", mean);
  add("reward_std", deviation);
  const double flat = loss::zero_deviation_share(scores.total, groups_);
  add("frac_reward_zero_std", flat);
  for (size_t k = 0; k < scores.names.size(); ++k) {
    const auto [m, d] = moments(scores.components.select(1, static_cast<int64_t>(k)));
    add("rewards/" + scores.names[k] + "/mean", m);
    add("rewards/" + scores.names[k] + "/std", d);
  }
  for (const auto& [name, count] : scores.counts) add("reward/" + name, count);
  add("advantage_abs_mean", advantage.abs().mean().item<double>());

  std::vector<double> lengths, terminated;
  for (const Rollout& r : rollouts_) {
    lengths.push_back(static_cast<double>(r.tokens.size()));
    if (r.finish == Finish::stop) terminated.push_back(lengths.back());
  }
  const double truncated =
      1.0 - static_cast<double>(terminated.size()) / static_cast<double>(lengths.size());
  const auto add_lengths = [&](const std::string& suffix, const std::vector<double>& values) {
    add("completions/mean_" + suffix, values.empty() ? 0.0 : mean_of(values));
    add("completions/min_" + suffix,
        values.empty() ? 0.0 : *std::min_element(values.begin(), values.end()));
    add("completions/max_" + suffix,
        values.empty() ? 0.0 : *std::max_element(values.begin(), values.end()));
  };
  add_lengths("length", lengths);
  add_lengths("terminated_length", terminated);
  add("completions/clipped_ratio", truncated);
  diagnose(flat, truncated);
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

namespace {

/// The reward that the settings name, after what else can be missing.
Json reward_node(const GrpoSettings& settings, const std::string& where) {
  if (settings.train.eval_strategy != "no") {
    fail_settings(where,
                  "key eval_strategy: grpo has no evaluation loss; samples.jsonl has answers from "
                  "before and after");
  }
  if (settings.train.data.train.empty())
    fail_settings(where, "key data.train: is missing (files of prompts)");
  if (settings.reward.text.empty())
    fail_settings(where, "key reward: is missing ({\"use\": NAME, ...})");
  Json node = Json::parse(settings.reward.text);
  if (!settings.reward_weights.empty()) weigh(node, settings.reward_weights, where);
  return node;
}

/// The reward models of a node and of those inside it.
void preview_judges(const Json& node, const std::string& path, Preview& out) {
  if (!node.is_object()) return;
  const auto text = [&](const char* key) {
    const auto found = node.find(key);
    return found != node.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (text("use") == "model" && !text("path").empty()) {
    ModelReward::Options defaults;
    const std::filesystem::path folder = model::model_folder(text("path"));
    const bool bf16 = node.contains("bf16") && node["bf16"] == true;
    const std::shared_ptr<model::RewardModel> judge = model::load_reward_model(
        folder, {.load = {.model = {.compute = bf16 ? at::kBFloat16 : at::ScalarType::Undefined,
                                    .device = at::kMeta}}});
    const auto tokens = node.find("batch_tokens");
    out.models.push_back({.role = path,
                          .folder = folder,
                          .module = judge,
                          .body = &judge->body(),
                          .judges = true,
                          .judge_tokens = tokens != node.end() && tokens->is_number_integer()
                                              ? tokens->get<int64_t>()
                                              : defaults.batch_tokens});
  }
  const auto of = node.find("of");
  if (of == node.end() || !of->is_array()) return;
  for (size_t i = 0; i < of->size(); ++i)
    preview_judges((*of)[i], guerdon::str(path, ".of[", i, "]"), out);
}

}  // namespace

Preview preview_of(const GrpoSettings& settings, const std::string& where,
                   const PreviewOptions& options) {
  const GrpoPlan plan = plan_grpo(settings, where);
  const std::string& path = settings.train.model_name_or_path;
  Preview out{.unit = "completions", .rows_in_group = settings.num_generations};
  out.models.push_back(preview_decoder("policy", path, settings.train, true));
  preview_lora(out.models[0], settings.lora);
  if (settings.loss.beta != 0.0 && settings.lora.r == 0)
    out.models.push_back(preview_decoder("reference", path, settings.train, false));
  const Json node = reward_node(settings, where);
  preview_judges(node, "reward", out);
  if (options.build_rewards) make_reward(node, where);

  const Words words(out.models[0].folder, settings.chat_template_path, data::EncodeOptions{});
  PreviewGeneration generation{.prompts = plan.prompts,
                               .completions = settings.num_generations,
                               .slots = settings.slots,
                               .max_completion_length = settings.max_completion_length,
                               .prompt_tokens = {},
                               .reference_pass = settings.loss.beta != 0.0 || plan.steps() > 1};
  const bool share = out.models[0].body->shares_prefixes();
  for (const std::string& name : settings.train.data.train) {
    const FirstRows first = first_rows(name, settings.train.data, options.rows);
    require_prompts(name, first.type, first.form);
    PreviewFile file{.set = "train",
                     .file = name,
                     .form = first.form,
                     .rows = static_cast<int64_t>(first.examples.size()),
                     .whole = first.whole,
                     .counts = {},
                     .groups = {}};
    for (const Example& example : first.examples) {
      std::vector<int64_t> tokens = words.encoder().prompt(example.prompt, example.fields);
      file.counts.add(settings.max_prompt_length
                          ? data::truncate_prompt(tokens, *settings.max_prompt_length)
                          : data::Cut::whole);
      const auto length = static_cast<int64_t>(tokens.size());
      const int64_t written = settings.num_generations * settings.max_completion_length;
      file.groups.push_back(
          {.tokens = (share ? length : settings.num_generations * length) + written,
           .targets = written});
      generation.prompt_tokens.push_back(length);
    }
    out.files.push_back(std::move(file));
  }
  out.generation = std::move(generation);
  return out;
}

std::unique_ptr<Algorithm> make_grpo(const GrpoSettings& settings, const std::string& where,
                                     RunFolder& run) {
  plan_grpo(settings, where);
  GrpoWorld world;
  world.reward = make_reward(reward_node(settings, where), where);
  world.folder = model::model_folder(settings.train.model_name_or_path);
  auto words =
      std::make_shared<Words>(world.folder, settings.chat_template_path, data::EncodeOptions{});
  world.words = words;
  world.prompts =
      std::make_shared<Prompts>(settings.train, words, settings.max_prompt_length.value_or(0));
  world.probes = world.prompts->first(settings.probes);
  world.policy = model::load_decoder(world.folder, {.model = model_options(settings.train)});
  world.adapter =
      add_lora(*world.policy, settings.lora, static_cast<uint64_t>(settings.train.seed));
  if (settings.loss.beta != 0.0 && !world.adapter) {
    world.reference = model::load_decoder(world.folder, {.model = model_options(settings.train)});
    for (Tensor& parameter : world.reference->parameters()) parameter.requires_grad_(false);
  }
  world.samples = [&run](int64_t step, const Json& row) { run.add_sample(step, row); };
  return std::make_unique<Grpo>(settings, where, std::move(world));
}

}  // namespace guerdon::train
