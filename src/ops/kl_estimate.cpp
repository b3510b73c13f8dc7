#include "guerdon/ops/kl_estimate.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "composed.h"
#include "guerdon/base/error.h"
#include "inputs.h"
#include "kernels/cpu/kernels.h"

namespace guerdon::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kTokens = int64_t{1} << 13;  // a thread's share at least

kernels::KlKind kernel_of(KlEstimate kind) {
  switch (kind) {
    case KlEstimate::k1: return kernels::KlKind::k1;
    case KlEstimate::k2: return kernels::KlKind::k2;
    case KlEstimate::k3: return kernels::KlKind::k3;
    case KlEstimate::abs: return kernels::KlKind::abs;
    case KlEstimate::k3_straight_through: break;
  }
  return kernels::KlKind::k3_straight_through;
}

class KlEstimateFunction : public torch::autograd::Function<KlEstimateFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& given,
                        const Tensor& given_reference, KlEstimate kind,
                        const KlEstimateOptions& o) {
    const Tensor logprobs = given.contiguous(), reference = given_reference.contiguous();
    if (const DeviceKernels* device = device_kernels(logprobs)) {
      const auto [value, slope] = device->kl_estimate(logprobs, reference, kernel_of(kind), o);
      context->save_for_backward({slope});
      return value;
    }
    Tensor value = at::empty_like(logprobs), slope = at::empty_like(logprobs);
    at::parallel_for(0, logprobs.numel(), kTokens, [&](int64_t begin, int64_t end) {
      kernels::kernels().kl_estimate(
          logprobs.const_data_ptr<float>() + begin, reference.const_data_ptr<float>() + begin,
          kernel_of(kind), static_cast<float>(o.max_log_ratio), static_cast<float>(o.max_value),
          end - begin, value.data_ptr<float>() + begin, slope.data_ptr<float>() + begin);
    });
    context->save_for_backward({slope});
    return value;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("kl_estimate");
    const Tensor d = gradients[0] * context->get_saved_variables()[0];
    return {d, context->needs_input_grad(1) ? -d : Tensor(), {}, {}};
  }
};

}  // namespace

Tensor kl_estimate(const Tensor& logprobs, const Tensor& reference, KlEstimate kind,
                   const KlEstimateOptions& o) {
  GUERDON_CHECK(logprobs.sizes() == reference.sizes(), "kl_estimate: ", logprobs.sizes(), " and ",
                reference.sizes(), " log-probs");
  GUERDON_CHECK(o.max_log_ratio > 0 && o.max_log_ratio <= 80 && o.max_value > 0,
                "kl_estimate: max_log_ratio ", o.max_log_ratio, " must lie in (0, 80], max_value ",
                o.max_value, " be positive");
  if (has_float_kernel(logprobs) && has_float_kernel(reference))
    return KlEstimateFunction::apply(logprobs, reference, kind, o);
  return composed_kl_estimate(logprobs, reference, kind, o);
}

}  // namespace guerdon::ops
