#include "guerdon/train/grpo.h"

#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/loss/advantage.h"

namespace guerdon::train {

void describe(SettingList& field, GrpoSettings& s) {
  describe(field, s.train);
  field("reward", s.reward,
        "What judges the completions: {\"use\": NAME, ...}; `guerdon rewards` lists the names");
  describe(field, s.loss);
  describe(field, s.sampling);
  field("num_generations", s.num_generations, "Completions of each prompt", {.min = 2});
  field("num_generations_eval", s.num_generations_eval,
        "Completions of each evaluation prompt (null: num_generations)", {.min = 1});
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
  if (s.train.train_sampling_strategy == "balanced")
    refuse("train_sampling_strategy",
           "\"balanced\" is of rows that are learnt from, not of prompts");
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

}  // namespace guerdon::train
