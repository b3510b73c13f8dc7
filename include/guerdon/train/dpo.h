/// Direct preference optimisation.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "guerdon/loss/preference.h"
#include "guerdon/train/algorithm.h"
#include "guerdon/train/explain.h"
#include "guerdon/train/models.h"
#include "guerdon/train/preview.h"
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

/// Formula, signs and denominators under these settings; what cannot be meant together is refused.
Explanation explanation_of(const DpoSettings& settings, const std::string& where);
/// Models by their shapes, and the first rows of each file. Throws Error (Kind::settings,
/// Kind::input).
Preview preview_of(const DpoSettings& settings, const std::string& where,
                   const PreviewOptions& options);

/// Combinations that cannot be meant. Throws Error (Kind::settings).
void check_dpo_settings(const DpoSettings& settings, const std::string& where);

/// Throws Error (Kind::settings, Kind::input).
std::unique_ptr<Algorithm> make_dpo(const DpoSettings& settings, const std::string& where,
                                    RunFolder& run);

}  // namespace guerdon::train
