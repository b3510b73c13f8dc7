/// Which reward a row is judged by, and how much it counts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "guerdon/loss/difficulty.h"
#include "guerdon/model/embedder.h"
#include "guerdon/reward/registry.h"

namespace guerdon {

/// The reward whose name is what the row's `field` says: one reward model for each category. A row
/// of another category, or of none, gives no opinion. A reward sees only the rows that are its own.
class Route final : public Reward {
 public:
  struct Options {
    std::string field = "category";
  };
  Route(const Options& options, std::vector<RewardChild> children);
  Scores score(const RewardBatch& batch) override;
  void parts(Parts& parts) override;
  void update(const Feedback& feedback) override;

 private:
  Options options_;
  std::vector<RewardChild> children_;
};
void describe(SettingList& field, Route::Options& options);

/// The child's score, with a weight for the advantage: data hardness x responsiveness of the prompt
/// (loss/difficulty.h). The row's `field` holds a demonstration, which the child judges too;
/// clauses are embedded one by one. A row without one counts as usual. Components: "hardness" and
/// "responsiveness".
class Difficulty final : public Reward {
 public:
  struct Options {
    std::string field = "demonstration";
    std::string embedder;
    model::EmbedderOptions embedding;
    std::string mean_over = "demonstration";
    loss::ResponsivenessOptions responsiveness;
  };
  /// Throws Error (Kind::settings) without an embedder.
  Difficulty(const Options& options, std::vector<RewardChild> children);
  Scores score(const RewardBatch& batch) override;
  void parts(Parts& parts) override;
  void update(const Feedback& feedback) override;

 private:
  std::vector<double> hardness(const std::string& demonstration,
                               std::span<const Rollout> responses) const;
  Options options_;
  std::vector<RewardChild> children_;
  model::Embedder embedder_;
};
void describe(SettingList& field, Difficulty::Options& options);

}  // namespace guerdon
