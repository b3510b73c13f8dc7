/// Rewards made of rewards.
#pragma once

#include <string>
#include <vector>

#include "guerdon/model/readout.h"
#include "guerdon/reward/registry.h"

namespace guerdon {

/// How the weighted scores of several rewards become one. A child without an opinion is skipped;
/// where none has one, neither has the whole. A child that failed makes the whole fail, for that
/// row. Children of weight 0 are scored and logged only.
enum class Combination { sum, mean, product, min, max, first };

/// sum, mean (divided by the weights), product, min or max of weight x score; or that of the first
/// child that has an opinion.
class Combined final : public Reward {
 public:
  Combined(Combination how, std::vector<RewardChild> children);
  Scores score(const RewardBatch& batch) override;
  void parts(Parts& parts) override;
  void update(const Feedback& feedback) override;

 private:
  Combination how_;
  std::vector<RewardChild> children_;
};

/// The second reward where the first is at least `threshold`, `otherwise` elsewhere.
class Gate final : public Reward {
 public:
  struct Options {
    double threshold = 0.5;
    double otherwise = 0.0;
  };
  Gate(const Options& options, std::vector<RewardChild> children);
  Scores score(const RewardBatch& batch) override;
  void parts(Parts& parts) override;
  void update(const Feedback& feedback) override;

 private:
  Options options_;
  std::vector<RewardChild> children_;
};

void describe(SettingList& field, Gate::Options& options);

/// Several judges of the same thing as one, by model::combine_members of weight x score. A row that
/// one of them has no opinion about, or fails on, has no score. Components: "mean", whose deviation
/// is that of the members, and each of them.
class Ensemble final : public Reward {
 public:
  using Options = model::MemberOptions;
  Ensemble(const Options& options, std::vector<RewardChild> children);
  Scores score(const RewardBatch& batch) override;
  void parts(Parts& parts) override;
  void update(const Feedback& feedback) override;

 private:
  Options options_;
  std::vector<RewardChild> children_;
};

/// Shorter is better when right, longer is better when wrong (Yeo et al. 2025, arXiv:2502.03373): a
/// half cosine over the number of tokens, from max_correct to min_correct where the child's score
/// is at least 0.5, else from min_wrong to max_wrong.
class CosineScaled final : public Reward {
 public:
  struct Options {
    double min_correct = 0.5, max_correct = 1.0;
    double min_wrong = -1.0, max_wrong = -0.5;
    int64_t max_length = 1000;
  };
  CosineScaled(const Options& options, std::vector<RewardChild> children);
  Scores score(const RewardBatch& batch) override;
  void parts(Parts& parts) override;
  void update(const Feedback& feedback) override;

 private:
  Options options_;
  std::vector<RewardChild> children_;
};

void describe(SettingList& field, CosineScaled::Options& options);

/// How long a response is beside its siblings, L tokens each (HARMO, arXiv:2510.05283; it gives no
/// formula). The child tells right from wrong: at least 0.5.
///
///     short_penalty   -max_penalty clip(1 - L / (tau mean of the right ones' L), 0, 1); 0 for all
///                     where none is right
///     brevity         l = 1/2 - (L - shortest) / (longest - shortest), 0 where all are as long;
///                     right: l, wrong: min(0, l)
class LengthInGroup final : public Reward {
 public:
  struct Options {
    std::string mode = "short_penalty";
    double max_penalty = 0.5, tau = 1.0;
  };
  LengthInGroup(const Options& options, std::vector<RewardChild> children);
  Scores score(const RewardBatch& batch) override;
  void parts(Parts& parts) override;
  void update(const Feedback& feedback) override;

 private:
  double scored(double length, bool right, double mean_right, double shortest,
                double longest) const;
  Options options_;
  std::vector<RewardChild> children_;
};

void describe(SettingList& field, LengthInGroup::Options& options);

}  // namespace guerdon
