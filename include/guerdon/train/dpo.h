/// Direct preference optimisation.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "guerdon/loss/preference.h"
#include "guerdon/train/algorithm.h"
#include "guerdon/train/models.h"
#include "guerdon/train/run_folder.h"

namespace guerdon::train {

/// TRL's DPOConfig.
struct DpoSettings {
  TrainSettings train{.learning_rate = 1e-6};
  LoraSettings lora;
  std::optional<int64_t> max_length = 1024;
  std::string truncation_mode = "keep_start";
  loss::DpoOptions loss;
  std::optional<double> ld_alpha;
  bool use_weighting = false;
  bool precompute_ref_log_probs = false;
  bool sync_ref_model = false;
  double ref_model_mixup_alpha = 0.6;
  int64_t ref_model_sync_steps = 512;
  std::string reference;
  std::string chat_template_path;
};
void describe(SettingList& field, DpoSettings& settings);

/// Combinations that cannot be meant. Throws Error (Kind::settings).
void check_dpo_settings(const DpoSettings& settings, const std::string& where);

/// Throws Error (Kind::settings, Kind::input).
std::unique_ptr<Algorithm> make_dpo(const DpoSettings& settings, const std::string& where,
                                    RunFolder& run);

}  // namespace guerdon::train
