/// What every node of the settings adds to its reward: transforms, the failure policy, counting.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/reward/reward.h"
#include "guerdon/reward/transform.h"

namespace guerdon {

/// What happens to a row whose reward failed or timed out. `pass` is the default of combinations,
/// whose children have dealt with their failures already: the verdict stays, and nothing is counted
/// twice.
struct OnError {
  enum class Way { fail, none, number, pass } way = Way::fail;
  double number = 0.0;
};

class Judged final : public Reward {
 public:
  /// `where` names the node in errors: "grpo.json: key reward.of[0]".
  Judged(std::string name, std::string where, std::unique_ptr<Reward> inner,
         std::vector<std::unique_ptr<Transform>> transforms, OnError on_error);

  Scores score(const RewardBatch& batch) override;
  void parts(Parts& parts) override;
  void update(const Feedback& feedback) override { inner_->update(feedback); }

 private:
  Scores judge(const RewardBatch& batch);
  void stop_when_too_many(int64_t step, int64_t failed, int64_t rows);

  // Failures of one step, for the rule over the last three.
  struct StepCount {
    int64_t step = -1, failed = 0, rows = 0;
    void parts(Parts& p);
  };
  std::string name_, where_;
  std::unique_ptr<Reward> inner_;
  std::vector<std::unique_ptr<Transform>> transforms_;
  OnError on_error_;
  StepCount recent_[3];  // newest last
  int64_t told_ = 0;     // failures whose text went to the log
};

}  // namespace guerdon
