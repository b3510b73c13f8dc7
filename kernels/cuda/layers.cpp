#include "kernels/cuda/tensors.h"

namespace guerdon::ops::cuda {
namespace {

kernels::NormRows norm_rows(const Tensor& x, const Tensor& weight, double epsilon, double offset) {
  const int64_t width = x.size(-1);
  return {.type = element_of(x),
          .x = x.const_data_ptr(),
          .weight = data<const float>(weight),
          .offset = static_cast<float>(offset),
          .epsilon = static_cast<float>(epsilon),
          .rows = x.numel() / std::max<int64_t>(width, 1),
          .width = width};
}

}  // namespace

Normal norm_forward(const Tensor& x, const Tensor& weight, double epsilon, double offset,
                    const Tensor& residual, const Tensor& sum) {
  const kernels::NormRows rows = norm_rows(x, weight, epsilon, offset);
  Normal n{at::empty_like(x), at::empty({rows.rows}, weight.options())};
  on_device_of("rms_norm", x, [&](cudaStream_t stream) {
    device::rms_norm(rows, data<const void>(residual), data<void>(sum), data<void>(n.out),
                     data<float>(n.rstd), stream);
  });
  return n;
}

std::pair<Tensor, Tensor> norm_backward(const Tensor& x, const Tensor& weight, const Tensor& rstd,
                                        double offset, const Tensor& d_out, const Tensor& d_sum,
                                        bool wants_weight) {
  const kernels::NormRows rows = norm_rows(x, weight, 0.0, offset);
  Tensor d_x = at::empty_like(x), parts;
  if (wants_weight) {
    parts = at::empty({device::norm_chunks(rows.rows), rows.width},
                      weight.options().dtype(at::kDouble));
  }
  on_device_of("rms_norm", x, [&](cudaStream_t stream) {
    device::rms_norm_backward(rows, data<const float>(rstd), data<const void>(d_out),
                              data<const void>(d_sum), data<void>(d_x), data<double>(parts),
                              stream);
  });
  return {d_x, wants_weight ? parts.sum(0).to(at::kFloat) : Tensor()};
}

Tensor rope(const Tensor& x, const Tensor& cosine, const Tensor& sine, float sign) {
  Tensor out = at::empty(x.sizes(), x.options());
  on_device_of("rope", x, [&](cudaStream_t stream) {
    device::rope(element_of(x), x.const_data_ptr(), data<const float>(cosine),
                 data<const float>(sine), sign, x.size(0), x.size(1), x.size(2), cosine.size(1),
                 x.stride(0), data<void>(out), stream);
  });
  return out;
}

Tensor gated(kernels::Gate act, const Tensor& gate, const Tensor& up) {
  Tensor out = at::empty_like(gate);
  on_device_of("gated", gate, [&](cudaStream_t stream) {
    device::gated(element_of(gate), act, gate.const_data_ptr(), up.const_data_ptr(), gate.numel(),
                  data<void>(out), stream);
  });
  return out;
}

std::pair<Tensor, Tensor> gated_backward(kernels::Gate act, const Tensor& gate, const Tensor& up,
                                         const Tensor& d_out) {
  Tensor d_gate = at::empty_like(gate), d_up = at::empty_like(up);
  on_device_of("gated", gate, [&](cudaStream_t stream) {
    device::gated_backward(element_of(gate), act, gate.const_data_ptr(), up.const_data_ptr(),
                           d_out.const_data_ptr(), gate.numel(), data<void>(d_gate),
                           data<void>(d_up), stream);
  });
  return {d_gate, d_up};
}

// Rows of equal ids come to lie next to each other, in their order.
Tensor embedding_backward(const Tensor& rows, const Tensor& ids, int64_t table_rows) {
  const auto [sorted, order] = at::sort(ids, /*stable=*/true, /*dim=*/0, /*descending=*/false);
  Tensor table = at::zeros({table_rows, rows.size(1)}, rows.options());
  on_device_of("embedding", rows, [&, &by_id = sorted, &places = order](cudaStream_t stream) {
    device::add_rows(data<const float>(rows), data<const int64_t>(by_id),
                     data<const int64_t>(places), ids.numel(), rows.size(1), data<float>(table),
                     stream);
  });
  return table;
}

double square_sum(const Tensor& x) {
  const Tensor room = at::empty({device::square_pieces(x.numel())}, x.options().dtype(at::kDouble));
  on_device_of("square_sum", x, [&](cudaStream_t stream) {
    device::square_sums(data<const float>(x), x.numel(), data<double>(room), stream);
  });
  return room.sum().item<double>();
}

void adamw(const Tensor& p, const Tensor& g, const Tensor& m, const Tensor& v,
           const kernels::AdamWNumbers& numbers) {
  on_device_of("adamw_step", p, [&](cudaStream_t stream) {
    device::adamw(data<float>(p), data<const float>(g), data<float>(m), data<float>(v), p.numel(),
                  numbers, stream);
  });
}

}  // namespace guerdon::ops::cuda
