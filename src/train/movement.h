/// "Parameters silently frozen" must be impossible: after the first steps every trained tensor has
/// had a gradient, and has moved.
#pragma once

#include <cstdint>
#include <vector>

#include "guerdon/optim/optimizer.h"

namespace guerdon::train {

class MovementCheck {
 public:
  explicit MovementCheck(const optim::AdamW& optimizer);

  /// Between backward and the optimizer's step.
  void look_at_gradients();
  /// After a step that should have moved something (a learning rate and a gradient above 0). Throws
  /// Error (Kind::stopped) that names what stood still after the last step that is looked at.
  void look_at_weights();
  bool done() const { return steps_ >= kSteps; }

 private:
  // One is not enough: the A of a LoRA pair has no gradient until its B, which begins at zero, has
  // moved.
  static constexpr int kSteps = 3;

  const optim::AdamW& optimizer_;
  std::vector<int64_t> sums_;
  std::vector<bool> had_gradient_, moved_;
  int steps_ = 0;
};

}  // namespace guerdon::train
