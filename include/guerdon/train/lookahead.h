/// Gradients that are taken a step further on, where another objective would lead (MetaRM).
#pragma once

#include <functional>
#include <vector>

#include "guerdon/ops/tensor.h"

namespace guerdon::train {

struct LookaheadOptions {
  double step_size = 1e-2;  ///< eta
  /// The gradient through the step too, at the price of two more gradients of J.
  bool second_order = false;
};

/// Adds to the parameters' gradients that of a loss L at a step up an objective J (Dou et al. 2024,
/// arXiv:2405.00438):
///
///     theta' = theta + eta grad J(theta)
///     first order    grad L(theta')
///     second order   (I + eta H) grad L(theta'), H the second derivatives of J at theta; H v by
///                    central differences along v, 0.01 / |v| to either side (as Liu et al. 2019,
///                    arXiv:1806.09055, do), since the operators have first derivatives alone
///
/// `climb` adds grad J to the gradients, `loss` grad L: both where the parameters are when they are
/// called, and from no gradients. The parameters are put back, bit for bit, also when either
/// throws. Throws Error (Kind::bug) when a parameter has a gradient already.
void gradients_ahead(const std::vector<Tensor>& parameters, const LookaheadOptions& options,
                     const std::function<void()>& climb, const std::function<void()>& loss);

}  // namespace guerdon::train
