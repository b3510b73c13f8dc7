/// What a run's metrics mean: which are rewards, which of those were trained on, how a curve begins
/// and ends. Private.
#pragma once

#include <string>
#include <vector>

#include "report/run_record.h"

namespace guerdon::report {

/// A component of the reward: "rewards/NAME/mean" in the metrics.
struct Component {
  std::string name;
  bool optimised = true;  ///< false: its weight in the settings is 0, so it was only watched
  Curve mean;
  Curve standardised;  ///< (mean - its beginning) / its spread over samples at the beginning
};
std::vector<Component> reward_components(const RunRecord& run);

/// True when the run generated what it learnt from (GRPO and its kin).
bool is_online(const RunRecord& run);

/// A curve in three numbers: the mean of its first, middle and last tenth (at least three values).
struct Ends {
  size_t count = 0;  ///< finite values
  double first = 0, middle = 0, last = 0;
  std::vector<double> smooth;  ///< running means of a tenth of the curve
};
Ends ends(const Curve& curve);

}  // namespace guerdon::report
