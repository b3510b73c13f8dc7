#include "guerdon/ops/layers.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "guerdon/base/error.h"
#include "kernels/cpu/kernels.h"

namespace guerdon::ops {
namespace {

using kernels::kernels;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Statistics need float32 at least; float64 stays as it is.
Tensor at_least_float(const Tensor& x) {
  return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

/// The kernels take float32 on the CPU; everything else goes through the composed form.
bool has_kernel(const Tensor& x) { return x.device().is_cpu() && x.scalar_type() == at::kFloat; }

constexpr int64_t kElements = int64_t{1} << 15;  // a thread's share at least

int64_t grain(int64_t width) {
  return std::max<int64_t>(1, kElements / std::max<int64_t>(width, 1));
}

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& given, const Tensor& weight,
                        double epsilon, double offset) {
    const Tensor x = given.contiguous(), w = weight.contiguous();
    const int64_t width = x.size(-1), rows = x.numel() / std::max<int64_t>(width, 1);
    Tensor out = at::empty_like(x), rstd = at::empty({rows}, x.options());
    at::parallel_for(0, rows, grain(width), [&](int64_t begin, int64_t end) {
      kernels().rms_norm(x.const_data_ptr<float>() + begin * width, w.const_data_ptr<float>(),
                         static_cast<float>(offset), static_cast<float>(epsilon), end - begin,
                         width, out.data_ptr<float>() + begin * width,
                         rstd.data_ptr<float>() + begin);
    });
    context->save_for_backward({x, w, rstd});
    context->saved_data["offset"] = offset;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    constexpr int64_t kChunk = 256;  // rows whose share of d_weight is summed together
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &w = saved[1], &rstd = saved[2];
    const auto offset = static_cast<float>(context->saved_data["offset"].toDouble());
    const Tensor d_out = gradients[0].contiguous();
    const int64_t width = x.size(-1), rows = rstd.numel(), chunks = (rows + kChunk - 1) / kChunk;
    const bool wants_weight = context->needs_input_grad(1);
    Tensor d_x = at::empty_like(x);
    std::vector<double> parts(static_cast<size_t>(wants_weight ? chunks * width : 0), 0.0);
    at::parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        const int64_t first = c * kChunk, count = std::min(kChunk, rows - first);
        kernels().rms_norm_backward(
            x.const_data_ptr<float>() + first * width, w.const_data_ptr<float>(), offset,
            rstd.const_data_ptr<float>() + first, d_out.const_data_ptr<float>() + first * width,
            count, width, d_x.data_ptr<float>() + first * width,
            wants_weight ? parts.data() + c * width : nullptr);
      }
    });
    Tensor d_w;
    if (wants_weight) {
      d_w = at::empty_like(w);
      for (int64_t i = 0; i < width; ++i) {
        double total = 0;
        for (int64_t c = 0; c < chunks; ++c) total += parts[static_cast<size_t>(c * width + i)];
        d_w.data_ptr<float>()[i] = static_cast<float>(total);
      }
    }
    return {d_x, d_w, {}, {}};
  }
};

Tensor rope_kernel(const Tensor& x, const Tensor& cosine, const Tensor& sine, float sign) {
  const int64_t tokens = x.size(0), heads = x.size(1), width = x.size(2), half = cosine.size(1);
  const Tensor from = x.stride(2) == 1 && x.stride(1) == width ? x : x.contiguous();
  Tensor out = at::empty(x.sizes(), x.options());
  at::parallel_for(0, tokens, grain(heads * width), [&](int64_t begin, int64_t end) {
    kernels().rope(from.const_data_ptr<float>() + begin * from.stride(0),
                   cosine.const_data_ptr<float>() + begin * half,
                   sine.const_data_ptr<float>() + begin * half, sign, end - begin, heads, width,
                   half, from.stride(0), out.data_ptr<float>() + begin * heads * width);
  });
  return out;
}

class Rope : public torch::autograd::Function<Rope> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& cosine,
                        const Tensor& sine) {
    context->save_for_backward({cosine, sine});
    return rope_kernel(x, cosine, sine, 1.0f);
  }
  // A rotation's transpose turns back.
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    return {rope_kernel(gradients[0], saved[0], saved[1], -1.0f), {}, {}};
  }
};

class Swiglu : public torch::autograd::Function<Swiglu> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& given_gate,
                        const Tensor& given_up) {
    const Tensor gate = given_gate.contiguous(), up = given_up.contiguous();
    Tensor out = at::empty_like(gate);
    at::parallel_for(0, gate.numel(), kElements, [&](int64_t begin, int64_t end) {
      kernels().swiglu(gate.const_data_ptr<float>() + begin, up.const_data_ptr<float>() + begin,
                       end - begin, out.data_ptr<float>() + begin);
    });
    context->save_for_backward({gate, up});
    return out;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &gate = saved[0], &up = saved[1], d_out = gradients[0].contiguous();
    Tensor d_gate = at::empty_like(gate), d_up = at::empty_like(up);
    at::parallel_for(0, gate.numel(), kElements, [&](int64_t begin, int64_t end) {
      kernels().swiglu_backward(gate.const_data_ptr<float>() + begin,
                                up.const_data_ptr<float>() + begin,
                                d_out.const_data_ptr<float>() + begin, end - begin,
                                d_gate.data_ptr<float>() + begin, d_up.data_ptr<float>() + begin);
    });
    return {d_gate, d_up};
  }
};

}  // namespace

Tensor rms_norm(const Tensor& x, const Tensor& weight, double epsilon, double offset) {
  GUERDON_CHECK(weight.dim() == 1 && weight.size(0) == x.size(-1), "rms_norm: weight ",
                weight.sizes(), " does not fit x ", x.sizes());
  if (has_kernel(x) && has_kernel(weight)) return RmsNorm::apply(x, weight, epsilon, offset);
  const Tensor wide = at_least_float(x);
  const Tensor normal = wide * at::rsqrt(wide.square().mean(-1, true) + epsilon);
  const Tensor scale = offset == 0.0 ? at_least_float(weight) : at_least_float(weight) + offset;
  return (normal * scale).to(x.scalar_type());
}

Tensor rope(const Tensor& x, const Tensor& cosine, const Tensor& sine, bool interleaved) {
  const int64_t half = cosine.size(-1), rotated = 2 * half;
  GUERDON_CHECK(x.dim() == 3 && cosine.dim() == 2 && cosine.size(0) == x.size(0) &&
                    sine.sizes() == cosine.sizes() && rotated <= x.size(2),
                "rope: x ", x.sizes(), " and tables ", cosine.sizes(), " do not fit");
  if (has_kernel(x) && has_kernel(cosine) && has_kernel(sine) && !interleaved) {
    return Rope::apply(x, cosine.contiguous(), sine.contiguous());
  }
  const Tensor c = cosine.to(x.scalar_type()).unsqueeze(1),
               s = sine.to(x.scalar_type()).unsqueeze(1);
  const Tensor part = x.narrow(2, 0, rotated);
  Tensor out;
  if (interleaved) {
    const Tensor pairs = part.unflatten(2, {half, 2});
    const Tensor a = pairs.select(3, 0), b = pairs.select(3, 1);
    out = at::stack({a * c - b * s, b * c + a * s}, 3).flatten(2);
  } else {
    const Tensor a = part.narrow(2, 0, half), b = part.narrow(2, half, half);
    out = at::cat({a * c - b * s, b * c + a * s}, 2);
  }
  if (rotated == x.size(2)) return out;
  return at::cat({out, x.narrow(2, rotated, x.size(2) - rotated)}, 2);
}

Tensor swiglu(const Tensor& gate, const Tensor& up) {
  GUERDON_CHECK(gate.sizes() == up.sizes(), "swiglu: gate ", gate.sizes(), " and up ", up.sizes(),
                " differ");
  if (has_kernel(gate) && has_kernel(up)) return Swiglu::apply(gate, up);
  return at::silu(gate) * up;
}

Tensor embedding(const Tensor& weight, const Tensor& ids) { return at::embedding(weight, ids); }

}  // namespace guerdon::ops
