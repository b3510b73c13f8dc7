/// Everything that judges a response is a Reward, and every trainer consumes Rewards.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "guerdon/generate/rollout.h"
#include "guerdon/ops/tensor.h"
#include "guerdon/optim/parts.h"

namespace guerdon {

class Services;

struct RewardBatch {
  std::span<const Rollout> rollouts;
  std::span<const int64_t> groups;  ///< offsets [groups + 1]: whole groups
  int64_t step = 0;
  Services& services;
  /// An evaluation: what the reward keeps from batch to batch (running means, counts) must not
  /// move.
  bool measuring = false;
};

enum class Verdict : uint8_t { scored, no_opinion, failed, timed_out };

/// N rollouts, K components.
struct Scores {
  Tensor total;                    ///< [N] float32; NaN unless the verdict is `scored`
  std::vector<Verdict> verdicts;   ///< empty = all scored
  std::vector<std::string> names;  ///< K names of the components
  Tensor components, deviation;    ///< [N, K], [N, K]; optional
  Tensor per_token;  ///< optional: the rollouts' tokens end to end (process and step rewards)
  Tensor weight;     ///< optional [N]: scales the advantage; 0 = left out of update and statistics
  std::vector<std::string> notes;  ///< optional [N]: critique, rationale, why it failed
  int64_t version = 0;             ///< of a changing judge; advantages never mix versions
  std::vector<double> weights;     ///< optional [K]: `total` is the sum of weights x components
  std::map<std::string, double> counts;  ///< to be logged: "judge/errors", "judge/timeouts"
};

/// What a reward may learn from after a step.
struct Feedback {
  const RewardBatch& batch;
  const Scores& scores;
  const std::vector<std::pair<std::string, double>>& metrics;
};

class Reward {
 public:
  virtual ~Reward() = default;
  virtual Scores score(
      const RewardBatch& batch) = 0;       ///< no gradient; one call at a time per object
  virtual void parts(Parts&) {}            ///< everything that must survive a resume
  virtual void update(const Feedback&) {}  ///< after each step
};

/// Scores from a function of one rollout; nullopt is Verdict::no_opinion. An exception is a failure
/// of that item: `failed`, with its text in `notes`; never a silent 0.
Scores score_each(const RewardBatch& batch,
                  const std::function<std::optional<float>(const Rollout&)>& judge);

/// A rollout as a row: its prompt with one response, and the fields of its row.
Example judged_row(const Rollout& rollout);

}  // namespace guerdon
