/// Supervised fine-tuning.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "guerdon/train/algorithm.h"
#include "guerdon/train/explain.h"
#include "guerdon/train/models.h"
#include "guerdon/train/preview.h"
#include "guerdon/train/run_folder.h"

namespace guerdon::train {

/// TRL's SFTConfig, as far as it applies: nothing here is padded, so packing has no setting.
struct SftSettings {
  TrainSettings train{.learning_rate = 2e-5};
  LoraSettings lora;
  std::optional<int64_t> max_length = 1024;
  std::string truncation_mode = "keep_start";
  std::optional<bool> completion_only_loss;
  bool assistant_only_loss = false;
  std::string loss_type = "nll";
  std::string chat_template_path;
};
void describe(SettingList& field, SftSettings& settings);

/// Formula, signs and denominators under these settings; what cannot be meant together is refused.
Explanation explanation_of(const SftSettings& settings, const std::string& where);
/// Models by their shapes, and the first rows of each file. Throws Error (Kind::settings,
/// Kind::input).
Preview preview_of(const SftSettings& settings, const std::string& where,
                   const PreviewOptions& options);

/// Throws Error (Kind::settings, Kind::input).
std::unique_ptr<Algorithm> make_sft(const SftSettings& settings, const std::string& where,
                                    RunFolder& run);

}  // namespace guerdon::train
