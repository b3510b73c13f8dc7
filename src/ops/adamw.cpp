#include "guerdon/ops/adamw.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <vector>

#include "guerdon/base/error.h"
#include "inputs.h"
#include "kernels/cpu/kernels.h"

namespace guerdon::ops {
namespace {

constexpr int64_t kPiece = int64_t{1} << 16;  // elements: a thread's share at least

kernels::AdamWNumbers numbers_of(const AdamWStep& o) {
  const auto t = static_cast<double>(o.step);
  const auto number = [](double x) { return static_cast<float>(x); };
  return {.decay = number(1 - o.learning_rate * o.weight_decay),
          .beta1 = number(o.beta1),
          .rest1 = number(1 - o.beta1),
          .beta2 = number(o.beta2),
          .rest2 = number(1 - o.beta2),
          .rate = number(o.learning_rate / (1 - std::pow(o.beta1, t))),
          .root = number(std::sqrt(1 - std::pow(o.beta2, t))),
          .epsilon = number(o.epsilon),
          .gradient_scale = number(o.gradient_scale)};
}

}  // namespace

double square_sum(const Tensor& given) {
  const c10::NoGradGuard no_gradient;
  if (!has_float_kernel(given)) {
    const Tensor x = given.to(at::kDouble);
    return (x * x).sum().item<double>();
  }
  const Tensor x = given.is_non_overlapping_and_dense() ? given : given.contiguous();
  if (const DeviceKernels* device = device_kernels(x)) return device->square_sum(x);
  const int64_t pieces = (x.numel() + kPiece - 1) / kPiece;
  std::vector<double> sums(static_cast<size_t>(pieces));
  at::parallel_for(0, pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      sums[static_cast<size_t>(i)] = kernels::kernels().square_sum(
          x.const_data_ptr<float>() + i * kPiece, std::min(kPiece, x.numel() - i * kPiece));
    }
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

void adamw_step(const Tensor& p, const Tensor& given, const Tensor& m, const Tensor& v,
                const AdamWStep& o) {
  const c10::NoGradGuard no_gradient;
  const auto alike = [&](const Tensor& x) {
    return x.sizes() == p.sizes() && x.strides() == p.strides() &&
           x.scalar_type() == p.scalar_type();
  };
  GUERDON_CHECK(given.sizes() == p.sizes() && alike(m) && alike(v), "adamw_step: parameter ",
                p.sizes(), ", gradient ", given.sizes(), ", moments ", m.sizes(), " and ",
                v.sizes(), " must be alike");
  GUERDON_CHECK(o.step >= 1, "adamw_step: step ", o.step, " must be at least 1");
  if (!has_float_kernel(p) || !p.is_non_overlapping_and_dense()) {
    const Tensor g = given.to(p.scalar_type()) * o.gradient_scale;
    p.mul_(1 - o.learning_rate * o.weight_decay);
    m.mul_(o.beta1).add_(g, 1 - o.beta1);
    v.mul_(o.beta2).addcmul_(g, g, 1 - o.beta2);
    const auto t = static_cast<double>(o.step);
    const Tensor root = (v / (1 - std::pow(o.beta2, t))).sqrt_().add_(o.epsilon);
    p.addcdiv_(m, root, -o.learning_rate / (1 - std::pow(o.beta1, t)));
    return;
  }
  Tensor g = given.to(at::kFloat);
  if (g.strides() != p.strides()) g = at::empty_like(p).copy_(g);
  const kernels::AdamWNumbers numbers = numbers_of(o);
  if (const DeviceKernels* device = device_kernels(p)) {
    device->adamw(p, g, m, v, numbers);
  } else {
    at::parallel_for(0, p.numel(), kPiece, [&](int64_t begin, int64_t end) {
      kernels::kernels().adamw(p.data_ptr<float>() + begin, g.const_data_ptr<float>() + begin,
                               m.data_ptr<float>() + begin, v.data_ptr<float>() + begin,
                               end - begin, numbers);
    });
  }
  // The kernel does not count as a change of the weights by itself; who keeps a copy of them (a
  // model that computes in bfloat16) goes by that count.
  p.unsafeGetTensorImpl()->bump_version();
}

}  // namespace guerdon::ops
