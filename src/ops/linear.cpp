#include "guerdon/ops/linear.h"

#include <ATen/Parallel.h>

namespace guerdon::ops {

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const std::optional<Tensor> b = bias.defined() ? std::optional<Tensor>(bias) : std::nullopt;
  const int64_t rows = x.numel() / std::max<int64_t>(x.size(-1), 1);
  const int64_t multiple = 4 * at::get_num_threads();
  // Only small counts differ; from 16 multiples on the kernels that are chosen no longer depend on
  // the count.
  if (x.scalar_type() != at::kFloat || !x.device().is_cpu() || rows >= 16 * multiple ||
      rows % multiple == 0) {
    return at::linear(x, weight, b);
  }
  const int64_t padding = multiple - rows % multiple;
  const Tensor padded = at::constant_pad_nd(x.reshape({rows, x.size(-1)}), {0, 0, 0, padding});
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = weight.size(0);
  return at::linear(padded, weight, b).narrow(0, 0, rows).reshape(shape);
}

}  // namespace guerdon::ops
