/// What every trainer's settings have in common, under TRL's names where TRL has them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/base/settings.h"
#include "guerdon/optim/optimizer.h"
#include "guerdon/optim/schedule.h"

namespace guerdon::train {

/// `data`: which rows, and how they are read.
struct DataSettings {
  std::vector<std::string> train;  ///< files
  std::vector<double> weights;     ///< of the files; empty: every row once per epoch
  JsonSetting eval;                ///< a file, or {"name": file, ...}
  std::string on_bad_row = "error";
  std::vector<std::string> columns;
  std::string category;  ///< the field that says what kind of row it is; "": its file does
  bool transcripts = true;
  bool allow_changed = false;
};

/// `checkpoint`: what TRL has no name for.
struct CheckpointSettings {
  std::string on_error = "stop";
  bool in_background = true;
  bool allow_changed = false;
};

/// `report`
struct ReportSettings {
  bool tensorboard = true;
};

struct TrainSettings {
  std::string model_name_or_path;
  std::string output_dir;
  DataSettings data;

  double learning_rate = 1e-6;
  int64_t per_device_train_batch_size = 8;
  int64_t gradient_accumulation_steps = 1;
  int64_t per_device_eval_batch_size = 8;
  int64_t micro_batch_tokens = 0;
  double num_train_epochs = 3.0;
  int64_t max_steps = -1;
  double max_grad_norm = 1.0;
  optim::AdamWOptions adam;
  optim::ScheduleOptions schedule;
  int64_t seed = 42;
  std::string train_sampling_strategy = "random";
  bool bf16 = false;
  bool gradient_checkpointing = false;

  double logging_steps = 10;
  std::string eval_strategy = "no";
  std::optional<double> eval_steps;
  bool eval_on_start = false;
  std::string save_strategy = "steps";
  double save_steps = 500;
  std::optional<int64_t> save_total_limit = 2;
  bool load_best_model_at_end = false;
  std::optional<std::string> metric_for_best_model;
  std::optional<bool> greater_is_better;
  std::optional<int64_t> early_stopping_patience;
  double early_stopping_threshold = 0.0;

  CheckpointSettings checkpoint;
  ReportSettings report;
};

/// Lists them at the top level; an algorithm's describe() calls it and adds its own.
void describe(SettingList& field, TrainSettings& settings);

/// What the ranges cannot say: combinations that cannot be meant. `needs_model`: the method begins
/// with model_name_or_path. Throws Error (Kind::settings).
void check_train_settings(const TrainSettings& settings, const std::string& where,
                          bool needs_model = true);

/// Optimizer steps of a run: max_steps, or what num_train_epochs come to.
int64_t total_steps(const TrainSettings& settings, int64_t steps_per_epoch);

/// A number of steps that may be given as a share of all: 0.1 of 500 is 50; at least 1.
int64_t steps_of(double steps_or_share, int64_t total);

}  // namespace guerdon::train
