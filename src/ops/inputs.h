/// Private to `ops`: what its sources ask of the tensors that they are given.
#pragma once

#include <ATen/ops/aminmax.h>
#include <c10/core/GradMode.h>

#include <optional>

#include "guerdon/base/error.h"
#include "guerdon/ops/tensor.h"
#include "kernels/numbers.h"
#include "ops/device.h"

namespace guerdon::ops {

/// As an argument of an autograd function, which takes no undefined tensor.
inline std::optional<Tensor> optional(const Tensor& x) {
  return x.defined() ? std::optional<Tensor>(x) : std::nullopt;
}

/// Whether there are kernels for its device: always on the CPU.
inline bool device_has_kernels(const Tensor& x) {
  return x.device().is_cpu() || device_kernels(x) != nullptr;
}

/// Most kernels take float32, bfloat16 and float16; float64, and devices without kernels, go
/// through the composed form.
inline bool has_kernel(const Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  return (type == at::kFloat || type == at::kBFloat16 || type == at::kHalf) &&
         device_has_kernels(x);
}

inline kernels::Element element_of(const Tensor& x) {
  if (x.scalar_type() == at::kFloat) return kernels::Element::float32;
  return x.scalar_type() == at::kHalf ? kernels::Element::float16 : kernels::Element::bfloat16;
}

/// Float32: what the kernels take that have no forms for other types.
inline bool has_float_kernel(const Tensor& x) {
  return x.scalar_type() == at::kFloat && device_has_kernels(x);
}

/// Throws for a row outside [0, rows); on another device waits for it.
inline void check_rows(const char* who, const Tensor& row, int64_t rows) {
  if (row.numel() == 0) return;
  const auto [least, most] = row.aminmax();
  GUERDON_CHECK(least.item<int64_t>() >= 0 && most.item<int64_t>() < rows, who, ": row ",
                (least.item<int64_t>() < 0 ? least : most).item<int64_t>(), " lies outside [0, ",
                rows, ")");
}

/// The type of sums and statistics over `x`.
inline at::ScalarType at_least_float(const Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// For the backward pass of a kernel: a gradient with a graph of its own would lack the kernel's
/// part of it.
inline void refuse_second_derivative(const char* who) {
  GUERDON_CHECK(!c10::GradMode::is_enabled(), who,
                ": has no second derivative in float32; the plain form in float64 has");
}

}  // namespace guerdon::ops
