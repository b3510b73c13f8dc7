#include "guerdon/ops/segment.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "composed.h"
#include "guerdon/base/error.h"
#include "inputs.h"

namespace guerdon::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// values -> (sum, mean, weight). One pass on one thread: an addition a token, in token order.
class SegmentFunction : public torch::autograd::Function<SegmentFunction> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& given, const Tensor& row,
                               int64_t rows, const Tensor& weight) {
    const Tensor values = given.contiguous();
    if (const DeviceKernels* device = device_kernels(values)) {
      const SegmentLogprob out = device->segment_logprob(values, row, rows, weight);
      context->save_for_backward({row, weight, out.weight});
      context->mark_non_differentiable({out.weight});
      return {out.sum, out.mean, out.weight};
    }
    std::vector<double> sums(static_cast<size_t>(rows)), weights(sums);
    const auto *value = values.const_data_ptr<float>(), *w = weight.const_data_ptr<float>();
    const auto* of = row.const_data_ptr<int64_t>();
    for (int64_t i = 0, n = values.numel(); i < n; ++i) {
      if (w[i] == 0) continue;
      const auto r = static_cast<size_t>(of[i]);
      sums[r] += static_cast<double>(w[i]) * static_cast<double>(value[i]);
      weights[r] += static_cast<double>(w[i]);
    }
    Tensor sum = at::empty({rows}, values.options()), mean = at::empty_like(sum),
           total = at::empty_like(sum);
    for (int64_t r = 0; r < rows; ++r) {
      const double s = sums[static_cast<size_t>(r)], t = weights[static_cast<size_t>(r)];
      sum.data_ptr<float>()[r] = static_cast<float>(s);
      mean.data_ptr<float>()[r] = static_cast<float>(t == 0 ? s : s / t);
      total.data_ptr<float>()[r] = static_cast<float>(t);
    }
    context->save_for_backward({row, weight, total});
    context->mark_non_differentiable({total});
    return {sum, mean, total};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("segment_logprob");
    const variable_list saved = context->get_saved_variables();
    const Tensor &row = saved[0], &weight = saved[1], &total = saved[2];
    const Tensor of_sum = gradients[0].contiguous(), of_mean = gradients[1].contiguous();
    if (device_kernels(total)) {
      const Tensor of_row = of_sum + of_mean / at::where(total == 0, at::ones_like(total), total);
      const Tensor d = of_row.index_select(0, row) * weight;
      return {at::where(weight == 0, at::zeros_like(d), d), {}, {}, {}};
    }
    std::vector<float> of_row(static_cast<size_t>(total.numel()));
    for (size_t r = 0; r < of_row.size(); ++r) {
      const float t = total.const_data_ptr<float>()[r];
      of_row[r] = of_sum.const_data_ptr<float>()[r] +
                  of_mean.const_data_ptr<float>()[r] / (t == 0 ? 1.0f : t);
    }
    Tensor out = at::empty_like(weight);
    const auto* w = weight.const_data_ptr<float>();
    const auto* of = row.const_data_ptr<int64_t>();
    auto* d = out.data_ptr<float>();
    for (int64_t i = 0, n = out.numel(); i < n; ++i)
      d[i] = w[i] == 0 ? 0.0f : of_row[static_cast<size_t>(of[i])] * w[i];
    return {out, {}, {}, {}};
  }
};

}  // namespace

SegmentLogprob segment_logprob(const Tensor& values, const Tensor& row, int64_t rows,
                               const Tensor& weight) {
  GUERDON_CHECK(
      values.dim() == 1 && row.sizes() == values.sizes() && row.scalar_type() == at::kLong &&
          (!weight.defined() || weight.sizes() == values.sizes()),
      "segment_logprob: values ", values.sizes(), ", rows ", row.sizes(), " int64, weights ",
      weight.defined() ? weight.sizes() : values.sizes(), " must be alike");
  const Tensor of = row.contiguous();
  check_rows("segment_logprob", of, rows);
  const Tensor x = values.to(at_least_float(values));
  const Tensor w = weight.defined() ? weight.to(x.scalar_type()) : at::ones_like(x).detach();
  if (!has_float_kernel(x)) return composed_segment_logprob(x, of, rows, w);
  const variable_list out = SegmentFunction::apply(x, of, rows, w.contiguous());
  return {.sum = out[0], .mean = out[1], .weight = out[2]};
}

}  // namespace guerdon::ops
