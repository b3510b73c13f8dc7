/// Reward models from preference pairs, ranked lists, or ratings.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/loss/listwise.h"
#include "guerdon/loss/rating.h"
#include "guerdon/loss/reward_model.h"
#include "guerdon/train/algorithm.h"
#include "guerdon/train/explain.h"
#include "guerdon/train/models.h"
#include "guerdon/train/preview.h"
#include "guerdon/train/run_folder.h"

namespace guerdon::train {

/// TRL's RewardConfig, and more. `loss_type` says what is learnt from: pairs
/// (loss::pair_loss_types), lists (loss::list_loss_types) or ratings (loss::rating_loss_types).
struct RewardSettings {
  TrainSettings train{.learning_rate = 1e-4};
  LoraSettings lora;
  std::optional<int64_t> max_length = 1024;
  std::string truncation_mode = "filter";
  std::string loss_type = "bradley_terry";
  loss::PairOptions loss;
  loss::ListOptions list;
  loss::RatingOptions rating;
  std::vector<std::string> attributes;  ///< of ratings: the fields that are learnt
  std::vector<double> score_weights;    ///< of the attributes in the score; empty: equal ones
  std::string pooling;
  bool freeze_body = false;
  std::string chat_template_path;
};
void describe(SettingList& field, RewardSettings& settings);

/// Formula, signs and denominators under these settings; what cannot be meant together is refused.
Explanation explanation_of(const RewardSettings& settings, const std::string& where);
/// Models by their shapes, and the first rows of each file. Throws Error (Kind::settings,
/// Kind::input).
Preview preview_of(const RewardSettings& settings, const std::string& where,
                   const PreviewOptions& options);

/// Throws Error (Kind::settings, Kind::input).
std::unique_ptr<Algorithm> make_reward(const RewardSettings& settings, const std::string& where,
                                       RunFolder& run);

}  // namespace guerdon::train
