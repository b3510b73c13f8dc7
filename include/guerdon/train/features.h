/// Reward models on stored vectors (guerdon/data/vectors.h), from preference pairs; and what a
/// similarity likes too much, taken out of it.
#pragma once

#include <memory>
#include <string>

#include "guerdon/loss/reward_model.h"
#include "guerdon/model/feature_model.h"
#include "guerdon/train/algorithm.h"
#include "guerdon/train/explain.h"
#include "guerdon/train/preview.h"
#include "guerdon/train/run_folder.h"

namespace guerdon::train {

/// `loss_type` is that of pairs (loss::pair_loss_types), as in RewardSettings; or "correction", for
/// which a finished similarity model reads what a generator wrote, and the direction of its bias is
/// learnt: b minimises the mean of -score(b) over the rows, and nothing else moves (stage 1 of
/// D2-Align, arXiv:2512.24146).
struct FeatureSettings {
  static constexpr bool kNeedsModel = false;  ///< without one a new model begins
  TrainSettings train{.learning_rate = 1e-3, .per_device_train_batch_size = 32};
  std::string loss_type = "bradley_terry";
  loss::PairOptions loss;
  model::FeatureShape shape;  ///< of a new model
  model::Correction correction;
};
void describe(SettingList& field, FeatureSettings& settings);

/// Formula, signs and denominators under these settings.
Explanation explanation_of(const FeatureSettings& settings, const std::string& where);
/// The model by its shape, and the first rows of each file. Throws Error (Kind::settings,
/// Kind::input).
Preview preview_of(const FeatureSettings& settings, const std::string& where,
                   const PreviewOptions& options);

/// Throws Error (Kind::settings, Kind::input).
std::unique_ptr<Algorithm> make_features(const FeatureSettings& settings, const std::string& where,
                                         RunFolder& run);

}  // namespace guerdon::train
