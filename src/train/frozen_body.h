/// Private to `train`: a reward model's body that does not change.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "guerdon/model/reward_model.h"

namespace guerdon::train {

/// What the head reads of each row, computed when the row is first seen and kept in memory: 4 bytes
/// for each hidden element of each row. A row's states do not depend on its batch, so a run that
/// resumes, and computes them anew, ends with the same bits.
class FrozenBody {
 public:
  /// Freezes the body, which computes `groups_at_once` groups in one pass.
  FrozenBody(model::RewardModel& model, int64_t groups_at_once);

  /// Adds the column "states" [rows, hidden]. `set` is where the rows' "index" counts.
  void add_states(Batch& batch, const std::string& set);

 private:
  model::RewardModel& model_;
  int64_t groups_at_once_;
  std::map<std::string, std::map<int64_t, Tensor>> known_;  // of each group of each set
};

}  // namespace guerdon::train
