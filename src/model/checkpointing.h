/// Activation checkpointing: a function's intermediate results are forgotten, and made again in the
/// backward pass.
#pragma once

#include <functional>
#include <vector>

#include "guerdon/ops/tensor.h"

namespace guerdon::model {

/// body(x), keeping only x. `body` must give the same result when it is called again; `parameters`
/// are all the tensors, x apart, that it uses and that need a gradient.
Tensor checkpointed(std::function<Tensor(const Tensor&)> body, const Tensor& x,
                    const std::vector<Tensor>& parameters);

}  // namespace guerdon::model
