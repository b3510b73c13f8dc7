#pragma once

#include <ATen/core/Tensor.h>

namespace guerdon {

using Tensor = at::Tensor;

}  // namespace guerdon
