/// Private to `train`: what a reward model learns from: pairs, lists or ratings. The model, its
/// data and its folder are reward.cpp's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "guerdon/model/reward_model.h"
#include "guerdon/train/algorithm.h"
#include "guerdon/train/explain.h"
#include "guerdon/train/feed.h"
#include "guerdon/train/models.h"
#include "guerdon/train/reward.h"
#include "train/offline.h"

namespace guerdon::train {

class RewardObjective {
 public:
  virtual ~RewardObjective() = default;

  /// What per_device_train_batch_size counts: "pairs".
  virtual std::string unit() const = 0;
  /// The head's outputs, and how they make a score; nothing: one score.
  virtual std::optional<model::Readout> readout() const { return std::nullopt; }
  /// Whether adding one number to all scores changes the loss.
  virtual bool feels_shifts() const = 0;
  /// The rows that are taken, and how. The words must outlive it.
  virtual FeedOptions rows(const Words& words, const TruncationRule& cut) const = 0;

  /// Adds the columns whose sums over the step the loss is divided by.
  virtual Batch counted(Batch batch) const = 0;
  /// A part's share of the loss, from its head's outputs [rows, K], and what else there is to log.
  virtual Loss loss(const Tensor& outputs, const Batch& part, const Totals& whole) = 0;

  /// State of its own: of a training step (and of no evaluation), and over a resume.
  virtual void begin_step(Batch&) {}
  virtual void end_step() {}
  virtual void parts(Parts&) {}

  /// Its loss, divisor and signs.
  virtual Explanation explanation() const = 0;
};

/// The objective of the settings' loss_type. Throws Error (Kind::settings) for what cannot be meant
/// together.
std::unique_ptr<RewardObjective> make_objective(const RewardSettings& settings,
                                                const std::string& where);
std::unique_ptr<RewardObjective> make_pair_objective(const RewardSettings& settings,
                                                     const std::string& where);
std::unique_ptr<RewardObjective> make_list_objective(const RewardSettings& settings,
                                                     const std::string& where);
std::unique_ptr<RewardObjective> make_rating_objective(const RewardSettings& settings,
                                                       const std::string& where);
std::unique_ptr<RewardObjective> make_step_objective(const RewardSettings& settings,
                                                     const std::string& where);
/// Pairs whose scores have deviations; `member` of an ensemble, which draws by itself.
std::unique_ptr<RewardObjective> make_uncertain_objective(std::unique_ptr<RewardObjective> pairs,
                                                          const RewardSettings& settings,
                                                          int64_t member);
/// Members with the same objective, each with state of its own, as one.
std::unique_ptr<RewardObjective> make_ensemble_objective(
    std::vector<std::unique_ptr<RewardObjective>> members, const RewardSettings& settings);

}  // namespace guerdon::train
