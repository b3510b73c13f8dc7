#include "guerdon/train/lookahead.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "guerdon/base/error.h"
#include "guerdon/optim/optimizer.h"

namespace guerdon::train {
namespace {

using Tensors = std::vector<Tensor>;

/// The gradients, which the parameters then have no more.
Tensors taken_gradients(const Tensors& parameters) {
  Tensors out;
  for (const Tensor& parameter : parameters) {
    out.push_back(parameter.grad());
    parameter.mutable_grad() = Tensor();
  }
  return out;
}

/// Moves the parameters for as long as it lives.
class Moved {
 public:
  Moved(const Tensors& parameters, const Tensors& direction, double length) {
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (!direction[i].defined()) continue;
      before_.emplace_back(parameters[i], parameters[i].detach().clone());
      Tensor(parameters[i]).add_(direction[i], length);
    }
  }
  ~Moved() {
    const at::NoGradGuard no_grad;
    for (auto& [parameter, value] : before_) parameter.copy_(value);
  }
  Moved(const Moved&) = delete;
  Moved& operator=(const Moved&) = delete;

 private:
  std::vector<std::pair<Tensor, Tensor>> before_;
};

}  // namespace

void gradients_ahead(const Tensors& parameters, const LookaheadOptions& options,
                     const std::function<void()>& climb, const std::function<void()>& loss) {
  for (const Tensor& parameter : parameters)
    GUERDON_CHECK(!parameter.grad().defined(), "gradients_ahead: there are gradients already");
  climb();
  {
    const Moved ahead(parameters, taken_gradients(parameters), options.step_size);
    loss();
  }
  if (!options.second_order) return;

  Tensors v = taken_gradients(parameters);
  const double norm = optim::gradient_norm(v);
  const double reach = norm > 0.0 ? 0.01 / norm : 0.0;
  const auto climb_at = [&](double length) {
    const Moved aside(parameters, v, length);
    climb();
    return taken_gradients(parameters);
  };
  const Tensors after = climb_at(reach), before = climb_at(-reach);
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (reach > 0.0 && v[i].defined() && after[i].defined())
      v[i] = v[i] + options.step_size / (2.0 * reach) * (after[i] - before[i]);
    parameters[i].mutable_grad() = v[i];
  }
}

}  // namespace guerdon::train
