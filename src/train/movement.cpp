#include "train/movement.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "guerdon/base/error.h"
#include "guerdon/optim/state.h"

namespace guerdon::train {

MovementCheck::MovementCheck(const optim::AdamW& optimizer)
    : optimizer_(optimizer),
      had_gradient_(optimizer.parameters().size(), false),
      moved_(optimizer.parameters().size(), false) {
  for (const optim::Trained& trained : optimizer.parameters()) {
    sums_.push_back(optim::bit_sum(trained.parameter));
  }
}

void MovementCheck::look_at_gradients() {
  const std::vector<Tensor> gradients = optimizer_.gradients();
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (had_gradient_[i] || !gradients[i].defined()) continue;
    had_gradient_[i] = gradients[i].any().item<bool>();
  }
}

void MovementCheck::look_at_weights() {
  ++steps_;
  std::string still;
  int64_t count = 0;
  for (size_t i = 0; i < moved_.size(); ++i) {
    const optim::Trained& trained = optimizer_.parameters()[i];
    moved_[i] = moved_[i] || optim::bit_sum(trained.parameter) != sums_[i];
    if (had_gradient_[i] && moved_[i]) continue;
    ++count;
    if (count > 10) continue;
    still += (still.empty() ? "" : ", ") + trained.name +
             (had_gradient_[i] ? " (did not move)" : " (had no gradient)");
  }
  if (!done() || count == 0) return;
  fail_stopped(
      "training",
      guerdon::str(count, " of ", moved_.size(), " trained tensors stand still after ", kSteps,
                   " steps: ", still),
      "freeze what is not meant to be trained; a learning rate near 0 moves nothing either");
}

}  // namespace guerdon::train
