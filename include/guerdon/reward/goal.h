/// Several rewards under a wish about their proportions, or one under limits on how often others
/// are violated (Roy, "Effective Reward Specification in Deep Reinforcement Learning",
/// arXiv:2412.07177).
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "guerdon/reward/registry.h"

namespace guerdon {

/// Rewards r = (r_1, ..., r_K) are worth their sum where they point the way of a goal d (its
/// goal-conditioned GFlowNets):
///
///     R = (alpha sum of r)^beta where cos(r, d) >= c, else 0
///     alpha = cos(r, d)^(log m / log c): 1 on the goal itself, m at the edge of its region
///
/// with c = `min_cosine` and m = `edge`. A negative r_k counts as 0. The goal is the row's field
/// `goal` where it has one, else the setting of that name. A row of which one of the rewards has no
/// opinion gets none.
class Goal final : public Reward {
 public:
  struct Options {
    std::vector<double> goal;
    double min_cosine = 0.98, edge = 0.1, beta = 1.0;
  };
  Goal(const Options& options, std::vector<RewardChild> children);
  Scores score(const RewardBatch& batch) override;
  void parts(Parts& parts) override;
  void update(const Feedback& feedback) override;

  /// R of rewards and a goal of the same length.
  static double value(std::span<const double> rewards, std::span<const double> goal,
                      const Options& options);

 private:
  Options options_;
  std::vector<RewardChild> children_;
};
void describe(SettingList& field, Goal::Options& options);

/// The first reward r under constraints on the others, which are costs c_j in [0, 1]:
///
///     lambda = softmax(z_0, ..., z_J)
///     R      = max(lambda_0, lambda_b) r - sum over j of s_j lambda_j c_j
///
/// with s_j = 1 where the mean of c_j is to be at most its rate d_j, -1 where at least ("upper",
/// "lower"), and b the constraint `bootstrap`, what is to be learnt first (0: none). After every
/// `every`-th step z takes a step of `learning_rate` down the gradient of
/// - sum over j of s_j lambda_j (mean c_j - d_j), the mean over the last `window` scored rows that
/// were not cut for length: the multiplier of a violated constraint rises, the sum of all stays 1.
class Constrained final : public Reward {
 public:
  struct Options {
    std::vector<double> rates;
    std::vector<std::string> bounds;  ///< of each cost; empty: all upper
    int64_t bootstrap = 0;            ///< which cost, from 1
    double learning_rate = 1.0;
    int64_t every = 10, window = 2000;
    double logit = 0.02;  ///< of all z at the beginning
  };
  /// Throws Error (Kind::settings) when rates or bounds are not one for each cost.
  Constrained(const Options& options, std::vector<RewardChild> children);
  Scores score(const RewardBatch& batch) override;
  void parts(Parts& parts) override;
  void update(const Feedback& feedback) override;

  /// s of the header, one for each cost.
  static std::vector<double> signs(const Options& options);
  /// softmax(z).
  static std::vector<double> multipliers(std::span<const double> logits);
  /// The gradient by z, [J + 1], at mean costs [J] (NaN: not known, and left out).
  static std::vector<double> gradient(std::span<const double> logits, std::span<const double> costs,
                                      const Options& options);

 private:
  Options options_;
  std::vector<RewardChild> children_;
  std::vector<double> logits_;
  /// The last values of a cost, by their place in a ring.
  struct Window {
    std::map<std::string, double> values;
    int64_t count = 0;  // in all
    void parts(Parts& parts);
  };
  std::vector<Window> seen_;
  int64_t steps_ = 0;
};
void describe(SettingList& field, Constrained::Options& options);

}  // namespace guerdon
