#include "guerdon/ops/layers.h"

#include "guerdon/base/error.h"

namespace guerdon::ops {
namespace {

// Statistics need float32 at least; float64 stays as it is.
Tensor at_least_float(const Tensor& x) {
  return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

}  // namespace

Tensor rms_norm(const Tensor& x, const Tensor& weight, double epsilon, double offset) {
  GUERDON_CHECK(weight.dim() == 1 && weight.size(0) == x.size(-1), "rms_norm: weight ",
                weight.sizes(), " does not fit x ", x.sizes());
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
  return at::silu(gate) * up;
}

Tensor embedding(const Tensor& weight, const Tensor& ids) { return at::embedding(weight, ids); }

}  // namespace guerdon::ops
