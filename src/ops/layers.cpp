#include "guerdon/ops/layers.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "guerdon/base/error.h"
#include "inputs.h"
#include "kernels/cpu/kernels.h"

namespace guerdon::ops {
namespace {

using kernels::kernels;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kElements = int64_t{1} << 15;  // a thread's share at least

int64_t grain(int64_t width) {
  return std::max<int64_t>(1, kElements / std::max<int64_t>(width, 1));
}

/// Element i of a contiguous tensor.
const void* from(const Tensor& x, int64_t i) {
  if (!x.defined()) return nullptr;
  return static_cast<const char*>(x.const_data_ptr()) + i * static_cast<int64_t>(x.element_size());
}
void* to(const Tensor& x, int64_t i) {
  if (!x.defined()) return nullptr;
  return static_cast<char*>(x.mutable_data_ptr()) + i * static_cast<int64_t>(x.element_size());
}

/// Rows [begin, end) for the kernel.
kernels::NormRows norm_rows(const Tensor& x, const Tensor& weight, double epsilon, double offset,
                            int64_t begin, int64_t end) {
  const int64_t width = x.size(-1);
  return {.type = element_of(x),
          .x = from(x, begin * width),
          .weight = weight.const_data_ptr<float>(),
          .offset = static_cast<float>(offset),
          .epsilon = static_cast<float>(epsilon),
          .rows = end - begin,
          .width = width};
}

/// The norm of x, or of x + residual, which goes into `sum`.
Normal norm_forward(const Tensor& x, const Tensor& weight, double epsilon, double offset,
                    const Tensor& residual, const Tensor& sum) {
  if (const DeviceKernels* device = device_kernels(x))
    return device->norm_forward(x, weight, epsilon, offset, residual, sum);
  const int64_t width = x.size(-1), rows = x.numel() / std::max<int64_t>(width, 1);
  Normal n{at::empty_like(x), at::empty({rows}, weight.options())};
  at::parallel_for(0, rows, grain(width), [&](int64_t begin, int64_t end) {
    kernels().rms_norm(norm_rows(x, weight, epsilon, offset, begin, end),
                       from(residual, begin * width), to(sum, begin * width),
                       to(n.out, begin * width), n.rstd.data_ptr<float>() + begin);
  });
  return n;
}

/// The gradients of x and of the weight (undefined where not wanted), `d_sum` added to the first.
std::pair<Tensor, Tensor> norm_backward(const Tensor& x, const Tensor& weight, const Tensor& rstd,
                                        double offset, const Tensor& d_out, const Tensor& d_sum,
                                        bool wants_weight) {
  if (const DeviceKernels* device = device_kernels(x))
    return device->norm_backward(x, weight, rstd, offset, d_out, d_sum, wants_weight);
  constexpr int64_t kChunk = 256;  // rows whose share of d_weight is summed together
  const int64_t width = x.size(-1), rows = rstd.numel(), chunks = (rows + kChunk - 1) / kChunk;
  Tensor d_x = at::empty_like(x);
  std::vector<double> parts(static_cast<size_t>(wants_weight ? chunks * width : 0), 0.0);
  at::parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const int64_t first = c * kChunk, last = std::min(first + kChunk, rows);
      kernels().rms_norm_backward(norm_rows(x, weight, 0.0, offset, first, last),
                                  rstd.const_data_ptr<float>() + first, from(d_out, first * width),
                                  from(d_sum, first * width), to(d_x, first * width),
                                  wants_weight ? parts.data() + c * width : nullptr);
    }
  });
  if (!wants_weight) return {d_x, Tensor()};
  Tensor d_weight = at::empty_like(weight);
  for (int64_t i = 0; i < width; ++i) {
    double total = 0;
    for (int64_t c = 0; c < chunks; ++c) total += parts[static_cast<size_t>(c * width + i)];
    d_weight.data_ptr<float>()[i] = static_cast<float>(total);
  }
  return {d_x, d_weight};
}

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& given, const Tensor& weight,
                        double epsilon, double offset) {
    const Tensor x = given.contiguous(), w = weight.contiguous();
    const Normal n = norm_forward(x, w, epsilon, offset, {}, {});
    context->save_for_backward({x, w, n.rstd});
    context->saved_data["offset"] = offset;
    return n.out;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("rms_norm");
    const variable_list s = context->get_saved_variables();
    const auto [d_x, d_weight] =
        norm_backward(s[0], s[1], s[2], context->saved_data["offset"].toDouble(),
                      gradients[0].contiguous(), {}, context->needs_input_grad(1));
    return {d_x, d_weight, {}, {}};
  }
};

class AddRmsNorm : public torch::autograd::Function<AddRmsNorm> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& x, const Tensor& residual,
                               const Tensor& weight, double epsilon, double offset) {
    const Tensor a = x.contiguous(), b = residual.contiguous(), w = weight.contiguous();
    Tensor sum = at::empty_like(a);
    const Normal n = norm_forward(a, w, epsilon, offset, b, sum);
    context->save_for_backward({sum, w, n.rstd});
    context->saved_data["offset"] = offset;
    return {sum, n.out};
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("add_rms_norm");
    const variable_list s = context->get_saved_variables();
    const auto [d_x, d_weight] = norm_backward(
        s[0], s[1], s[2], context->saved_data["offset"].toDouble(), gradients[1].contiguous(),
        gradients[0].contiguous(), context->needs_input_grad(2));
    return {d_x, d_x, d_weight, {}, {}};
  }
};

Tensor rope_kernel(const Tensor& x, const Tensor& cosine, const Tensor& sine, float sign) {
  const int64_t tokens = x.size(0), heads = x.size(1), width = x.size(2), half = cosine.size(1);
  const Tensor readable = x.stride(2) == 1 && x.stride(1) == width ? x : x.contiguous();
  if (const DeviceKernels* device = device_kernels(x))
    return device->rope(readable, cosine, sine, sign);
  Tensor out = at::empty(x.sizes(), x.options());
  at::parallel_for(0, tokens, grain(heads * width), [&](int64_t begin, int64_t end) {
    kernels().rope(element_of(x), from(readable, begin * readable.stride(0)),
                   cosine.const_data_ptr<float>() + begin * half,
                   sine.const_data_ptr<float>() + begin * half, sign, end - begin, heads, width,
                   half, readable.stride(0), to(out, begin * heads * width));
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
    refuse_second_derivative("rope");
    const variable_list saved = context->get_saved_variables();
    return {rope_kernel(gradients[0], saved[0], saved[1], -1.0f), {}, {}};
  }
};

/// act(gate) * up.
class Gated : public torch::autograd::Function<Gated> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& given_gate, const Tensor& given_up,
                        kernels::Gate act) {
    const Tensor gate = given_gate.contiguous(), up = given_up.contiguous();
    context->save_for_backward({gate, up});
    context->saved_data["act"] = static_cast<int64_t>(act);
    if (const DeviceKernels* device = device_kernels(gate)) return device->gated(act, gate, up);
    Tensor out = at::empty_like(gate);
    at::parallel_for(0, gate.numel(), kElements, [&](int64_t begin, int64_t end) {
      kernels().gated(element_of(gate), act, from(gate, begin), from(up, begin), end - begin,
                      to(out, begin));
    });
    return out;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("swiglu, geglu");
    const variable_list saved = context->get_saved_variables();
    const auto act = static_cast<kernels::Gate>(context->saved_data["act"].toInt());
    const Tensor &gate = saved[0], &up = saved[1], d_out = gradients[0].contiguous();
    if (const DeviceKernels* device = device_kernels(gate)) {
      const auto [d_gate, d_up] = device->gated_backward(act, gate, up, d_out);
      return {d_gate, d_up, {}};
    }
    Tensor d_gate = at::empty_like(gate), d_up = at::empty_like(up);
    at::parallel_for(0, gate.numel(), kElements, [&](int64_t begin, int64_t end) {
      kernels().gated_backward(element_of(gate), act, from(gate, begin), from(up, begin),
                               from(d_out, begin), end - begin, to(d_gate, begin), to(d_up, begin));
    });
    return {d_gate, d_up, {}};
  }
};

class EmbeddingRows : public torch::autograd::Function<EmbeddingRows> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& weight, const Tensor& ids) {
    context->save_for_backward({ids});
    context->saved_data["rows"] = weight.size(0);
    return at::embedding(weight, ids);
  }
  // Each thread adds all rows in their order, in columns of its own.
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("embedding");
    const Tensor ids = context->get_saved_variables()[0], d = gradients[0].contiguous();
    const int64_t width = d.size(1), rows = context->saved_data["rows"].toInt();
    if (const DeviceKernels* device = device_kernels(d))
      return {device->embedding_backward(d, ids, rows), {}};
    Tensor d_weight = at::zeros({rows, width}, d.options());
    at::parallel_for(0, width, 64, [&](int64_t begin, int64_t end) {
      kernels().add_rows(d.const_data_ptr<float>(), ids.const_data_ptr<int64_t>(), ids.numel(),
                         width, begin, end, d_weight.data_ptr<float>());
    });
    return {d_weight, {}};
  }
};

void check_norm(const char* who, const Tensor& x, const Tensor& weight) {
  GUERDON_CHECK(weight.dim() == 1 && weight.size(0) == x.size(-1), who, ": weight ", weight.sizes(),
                " does not fit x ", x.sizes());
}

bool takes_norm_kernel(const Tensor& x, const Tensor& weight) {
  return has_kernel(x) && weight.device() == x.device() && weight.scalar_type() != at::kDouble;
}

void check_gated(const char* who, const Tensor& gate, const Tensor& up) {
  GUERDON_CHECK(gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type(), who,
                ": gate ", gate.sizes(), " and up ", up.sizes(), " differ");
}

}  // namespace

Tensor rms_norm(const Tensor& x, const Tensor& weight, double epsilon, double offset) {
  check_norm("rms_norm", x, weight);
  if (takes_norm_kernel(x, weight))
    return RmsNorm::apply(x, weight.to(at::kFloat), epsilon, offset);
  const Tensor wide = x.to(at_least_float(x));
  const Tensor normal = wide * at::rsqrt(wide.square().mean(-1, true) + epsilon);
  const Tensor scale = weight.to(at_least_float(weight)) + offset;
  return (normal * scale).to(x.scalar_type());
}

AddedNorm add_rms_norm(const Tensor& x, const Tensor& residual, const Tensor& weight,
                       double epsilon, double offset) {
  check_norm("add_rms_norm", x, weight);
  GUERDON_CHECK(x.sizes() == residual.sizes() && x.scalar_type() == residual.scalar_type(),
                "add_rms_norm: x ", x.sizes(), " and residual ", residual.sizes(), " differ");
  if (takes_norm_kernel(x, weight) && residual.device() == x.device()) {
    const variable_list out =
        AddRmsNorm::apply(x, residual, weight.to(at::kFloat), epsilon, offset);
    return {.sum = out[0], .norm = out[1]};
  }
  const Tensor sum = x + residual;
  return {.sum = sum, .norm = rms_norm(sum, weight, epsilon, offset)};
}

Tensor rope(const Tensor& x, const Tensor& cosine, const Tensor& sine, bool interleaved) {
  const int64_t half = cosine.size(-1), rotated = 2 * half;
  GUERDON_CHECK(x.dim() == 3 && cosine.dim() == 2 && cosine.size(0) == x.size(0) &&
                    sine.sizes() == cosine.sizes() && rotated <= x.size(2),
                "rope: x ", x.sizes(), " and tables ", cosine.sizes(), " do not fit");
  if (has_kernel(x) && has_float_kernel(cosine) && has_float_kernel(sine) && !interleaved)
    return Rope::apply(x, cosine.contiguous(), sine.contiguous());
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
  check_gated("swiglu", gate, up);
  if (has_kernel(gate) && has_kernel(up)) return Gated::apply(gate, up, kernels::Gate::silu);
  return at::silu(gate) * up;
}

Tensor geglu(const Tensor& gate, const Tensor& up) {
  check_gated("geglu", gate, up);
  if (has_kernel(gate) && has_kernel(up)) return Gated::apply(gate, up, kernels::Gate::gelu);
  return at::gelu(gate, "tanh") * up;
}

Tensor embedding(const Tensor& weight, const Tensor& ids) {
  GUERDON_CHECK(weight.dim() == 2 && ids.dim() == 1 && ids.scalar_type() == at::kLong,
                "embedding: a table [V, H] and ids [T] int64 are needed, got ", weight.sizes(),
                " and ", ids.sizes());
  if (has_float_kernel(weight)) return EmbeddingRows::apply(weight, ids.contiguous());
  return at::embedding(weight, ids);
}

}  // namespace guerdon::ops
