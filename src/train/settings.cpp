#include "guerdon/train/settings.h"

#include <algorithm>
#include <cmath>

#include "guerdon/base/error.h"

namespace guerdon::optim {

static void describe(SettingList& field, ScheduleOptions& s) {
  field("num_cycles", s.num_cycles, "Waves of the cosine (0.5 falls once), or restarts",
        {.above = 0.0});
  field("min_lr", s.min_lr, "cosine_with_min_lr: the last learning rate", {.min = 0.0});
  field("min_lr_rate", s.min_lr_rate, "cosine_with_min_lr: the same as a share of the peak",
        {.min = 0.0, .max = 1.0});
  field("power", s.power, "polynomial: the exponent", {.above = 0.0});
  field("lr_end", s.lr_end, "polynomial: the last learning rate", {.min = 0.0});
  field("num_decay_steps", s.num_decay_steps, "warmup_stable_decay: steps of the decay at the end",
        {.min = 0});
  field("min_lr_ratio", s.min_lr_ratio,
        "warmup_stable_decay: what it decays to, a share of the peak", {.min = 0.0, .max = 1.0});
}

}  // namespace guerdon::optim

namespace guerdon::train {

static void describe(SettingList& field, DataSettings& s) {
  field("train", s.train, "Files of training rows: JSONL, JSON, gz");
  field("weights", s.weights,
        "How often an epoch goes through each file (1: every row once); empty: 1 for all",
        {.min = 0.0});
  field("eval", s.eval, "Evaluation rows: a file, or {\"name\": \"file\", ...} for several sets");
  field("on_bad_row", s.on_bad_row, "What a malformed row does: stop, or be counted and left out",
        {.choices = {"error", "skip"}});
  field("columns", s.columns, "Renamed columns, as \"OURS=THEIRS\"");
  field("category", s.category,
        "Field that says of what kind a row is, where kinds matter (train_sampling_strategy "
        "\"balanced\"); \"\": each file is one");
  field("transcripts", s.transcripts, "Read \"\\n\\nHuman: ...\" transcripts as conversations");
  field("allow_changed", s.allow_changed,
        "Resume although the data changed; the run then begins at their first row");
}

static void describe(SettingList& field, CheckpointSettings& s) {
  field("on_error", s.on_error, "What a checkpoint that cannot be written does",
        {.choices = {"stop", "warn"}});
  field("in_background", s.in_background,
        "Copy weights and moments, and train on while the copies are written");
  field("allow_changed", s.allow_changed,
        "Resume under other settings than the run began with; each change is logged");
}

static void describe(SettingList& field, ReportSettings& s) {
  field("tensorboard", s.tensorboard, "Write tb/, the metrics as a TensorBoard event file");
}

void describe(SettingList& field, TrainSettings& s) {
  field("model_name_or_path", s.model_name_or_path,
        "Folder of the starting model, or a run's folder");
  field("output_dir", s.output_dir, "The run's folder (or --output)");
  field.group("data", s.data);

  field("learning_rate", s.learning_rate, "Peak learning rate", {.min = 0.0, .max = 1.0});
  field("per_device_train_batch_size", s.per_device_train_batch_size,
        "Rows (pairs, prompts) per forward pass", {.min = 1});
  field("gradient_accumulation_steps", s.gradient_accumulation_steps,
        "Forward passes per optimizer step", {.min = 1});
  field("per_device_eval_batch_size", s.per_device_eval_batch_size,
        "Rows per forward pass of an evaluation", {.min = 1});
  field("micro_batch_tokens", s.micro_batch_tokens,
        "Cut the optimizer step by packed tokens instead: at most so many per forward pass (0: by "
        "rows). The loss is the same either way",
        {.min = 0});
  field("num_train_epochs", s.num_train_epochs, "Passes over the data, when max_steps is -1",
        {.above = 0.0});
  field("max_steps", s.max_steps, "Optimizer steps; -1: as many as the epochs need", {.min = -1});
  field("max_grad_norm", s.max_grad_norm, "Gradients are scaled down to this norm; 0: never",
        {.min = 0.0});
  field("adam_beta1", s.adam.adam_beta1, "Decay of the first moment", {.min = 0.0, .below = 1.0});
  field("adam_beta2", s.adam.adam_beta2, "Decay of the second moment", {.min = 0.0, .below = 1.0});
  field("adam_epsilon", s.adam.adam_epsilon, "Added to the root of the second moment",
        {.min = 0.0});
  field("weight_decay", s.adam.weight_decay, "Decoupled weight decay", {.min = 0.0});
  field("lr_scheduler_type", s.schedule.lr_scheduler_type, "How the learning rate changes",
        {.choices = optim::schedule_names()});
  field("warmup_steps", s.schedule.warmup_steps,
        "Steps of linear warm-up; below 1: the share of all steps", {.min = 0.0});
  field("warmup_ratio", s.schedule.warmup_ratio, "That share, when warmup_steps is 0",
        {.min = 0.0, .below = 1.0});
  field.group("lr_scheduler_kwargs", s.schedule);
  field("seed", s.seed, "Seed of everything random", {.min = 0});
  field(
      "train_sampling_strategy", s.train_sampling_strategy,
      "Order of the rows; balanced: one of each kind (data.category, or each file) in turn, in an "
      "epoch that goes once through the largest",
      {.choices = {"random", "sequential", "balanced"}});
  field("bf16", s.bf16, "Compute in bfloat16 (weights and moments stay float32)");
  field("gradient_checkpointing", s.gradient_checkpointing,
        "Keep only the layers' inputs and compute the rest again in the backward pass");

  field("logging_steps", s.logging_steps,
        "Steps between two lines of the log; below 1: a share of all. metrics.jsonl has every step",
        {.above = 0.0});
  field("eval_strategy", s.eval_strategy, "When to evaluate",
        {.choices = {"no", "steps", "epoch"}});
  field("eval_steps", s.eval_steps,
        "Steps between two evaluations; below 1: a share of all; null: logging_steps",
        {.above = 0.0});
  field("eval_on_start", s.eval_on_start, "Evaluate before the first step too");
  field("save_strategy", s.save_strategy,
        "When to write a checkpoint; one is always written at the end and when the run is stopped",
        {.choices = {"no", "steps", "epoch", "best"}});
  field("save_steps", s.save_steps, "Steps between two checkpoints; below 1: a share of all",
        {.above = 0.0});
  field("save_total_limit", s.save_total_limit,
        "How many checkpoints to keep, beside the best one; null: all", {.min = 1});
  field("load_best_model_at_end", s.load_best_model_at_end,
        "The run's model is the one of the best evaluation, not the last");
  field("metric_for_best_model", s.metric_for_best_model,
        "The evaluation's metric that decides; null: loss");
  field("greater_is_better", s.greater_is_better,
        "Whether it should be large; null: unless its name ends with \"loss\"");
  field("early_stopping_patience", s.early_stopping_patience,
        "Stop after so many evaluations in a row without a better one; null: never", {.min = 1});
  field("early_stopping_threshold", s.early_stopping_threshold, "By how much better counts",
        {.min = 0.0});
  field.group("checkpoint", s.checkpoint);
  field.group("report", s.report);
}

void check_train_settings(const TrainSettings& s, const std::string& where, bool needs_model) {
  if (needs_model && s.model_name_or_path.empty()) {
    fail_settings(where, "key model_name_or_path: is missing (the folder of the starting model)");
  }
  if (s.data.train.empty())
    fail_settings(where, "key data.train: is missing (files of training rows)");
  if (s.max_steps == 0)
    fail_settings(where, "key max_steps: must be positive, or -1 for whole epochs");
  if (!s.data.weights.empty() && s.data.weights.size() != s.data.train.size()) {
    fail_settings(where, str("key data.weights: has ", s.data.weights.size(), " weights for ",
                             s.data.train.size(), " files"));
  }
  const bool balanced = s.train_sampling_strategy == "balanced";
  if (balanced && !s.data.weights.empty())
    fail_settings(where,
                  "key data.weights: kinds of rows come in turn (train_sampling_strategy "
                  "\"balanced\"), as often as each other");
  const bool evaluates = s.eval_strategy != "no";
  if (evaluates && s.data.eval.text.empty()) {
    fail_settings(where, "key eval_strategy: " + show(s.eval_strategy) + " needs data.eval");
  }
  if (s.load_best_model_at_end && !evaluates) {
    fail_settings(where, "key load_best_model_at_end: needs eval_strategy \"steps\" or \"epoch\"");
  }
  if (s.early_stopping_patience && !evaluates) {
    fail_settings(where, "key early_stopping_patience: needs eval_strategy \"steps\" or \"epoch\"");
  }
  if (s.save_strategy == "best" && !evaluates) {
    fail_settings(where, "key save_strategy: \"best\" needs eval_strategy \"steps\" or \"epoch\"");
  }
}

int64_t total_steps(const TrainSettings& settings, int64_t steps_per_epoch) {
  if (settings.max_steps > 0) return settings.max_steps;
  return static_cast<int64_t>(
      std::ceil(settings.num_train_epochs * static_cast<double>(steps_per_epoch)));
}

int64_t steps_of(double steps, int64_t total) {
  const double exact = steps < 1.0 ? std::ceil(steps * static_cast<double>(total)) : steps;
  return std::max<int64_t>(1, static_cast<int64_t>(exact));
}

}  // namespace guerdon::train
