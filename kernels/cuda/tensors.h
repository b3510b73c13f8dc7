/// Between tensors and the kernels of a GPU: the only header of this folder that sees LibTorch.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "guerdon/base/error.h"
#include "kernels/cuda/kernels.h"
#include "ops/device.h"
#include "ops/inputs.h"

namespace guerdon::ops::cuda {

namespace device = ::guerdon::kernels::cuda;

/// Calls body(stream) with the device of x current and LibTorch's stream on it. Throws when a
/// kernel could not be started.
template <class Body>
void on_device_of(const char* who, const Tensor& x, const Body& body) {
  const c10::DeviceGuard guard(x.device());
  cudaStream_t stream = nullptr;
  if (x.is_cuda()) {  // else the kernels are those that the emulator runs
    const c10::impl::VirtualGuardImpl implementation(x.device().type());
    stream = static_cast<cudaStream_t>(implementation.getStream(x.device()).native_handle());
  }
  body(stream);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) fail_surroundings(who, cudaGetErrorString(error));
}

static_assert(kDeviceAttentionWidth == device::kAttentionWidth);

/// Null for an undefined tensor.
template <class T>
T* data(const Tensor& x) {
  if (!x.defined()) return nullptr;
  return static_cast<T*>(const_cast<void*>(x.const_data_ptr()));
}

/// Uninitialised memory beside x for `count` of T. LibTorch's allocator gives it away again in the
/// order of the stream, so it may go out of scope when the kernels have been started.
template <class T>
Tensor room_for(const Tensor& x, int64_t count) {
  return at::empty({count * static_cast<int64_t>(sizeof(T))}, x.options().dtype(at::kByte));
}

/// Rows of logits for the kernels; holds what they point to.
struct Rows : device::LogitRows {
  Rows(const Tensor& x, const LogitTransform& t, const Tensor& live_rows)
      : temperatures_tensor(t.temperatures.defined()
                                ? t.temperatures.to(x.device(), at::kFloat).contiguous()
                                : Tensor()) {
    this->x = x.const_data_ptr();
    type = element_of(x);
    stride = x.stride(0);
    rows = x.size(0), columns = x.size(1);
    scale = static_cast<float>(t.scale);
    softcap = static_cast<float>(t.softcap);
    temperature = static_cast<float>(t.temperature);
    temperatures = data<const float>(temperatures_tensor);
    live = data<const bool>(live_rows);
  }
  Tensor temperatures_tensor;
};

RowStats row_stats(const Tensor& x, const Tensor& tokens, const Tensor& live,
                   const LogitTransform& transform, const StatsRequest& request);
void row_gradients(const Tensor& x, const Tensor& tokens, const Tensor& live,
                   const LogitTransform& transform, const SavedStats& saved,
                   const StatsGradients& gradients, Tensor& out);
PairSums pair_sums(const PairInput& input);
void pair_gradient(const PairInput& input, const PairSums& sums, bool of_student, const Tensor& d,
                   Tensor& out);
Sampled sample_tokens(const Tensor& logits, const Tensor& uniforms, const Tensor& lse,
                      const LogitTransform& transform, const SamplingOptions& options);

std::pair<Tensor, Tensor> kl_estimate(const Tensor& logprobs, const Tensor& reference,
                                      kernels::KlKind kind, const KlEstimateOptions& options);
PolicyPass policy_pass(const PolicyTokens& tokens, const PolicyObjective& objective);
SegmentLogprob segment_logprob(const Tensor& values, const Tensor& row, int64_t rows,
                               const Tensor& weight);
Tensor discounted_scan(const Tensor& b, const Tensor& a, const ScanTokens& tokens);
Gae gae(const Tensor& rewards, const Tensor& values, const ScanTokens& tokens,
        const GaeOptions& options);

std::pair<Tensor, Tensor> attention_forward(const Tensor& q, const Tensor& k, const Tensor& v,
                                            std::span<const AttentionSegment> segments,
                                            const AttentionOptions& options);
AttentionGradient attention_backward(const Tensor& q, const Tensor& k, const Tensor& v,
                                     const Tensor& out, const Tensor& lse, const Tensor& d_out,
                                     std::span<const AttentionSegment> segments,
                                     const AttentionOptions& options);
Tensor decode_attention(const Tensor& q, const Tensor& keys, const Tensor& values,
                        const Tensor& lengths, const AttentionOptions& options);

Normal norm_forward(const Tensor& x, const Tensor& weight, double epsilon, double offset,
                    const Tensor& residual, const Tensor& sum);
std::pair<Tensor, Tensor> norm_backward(const Tensor& x, const Tensor& weight, const Tensor& rstd,
                                        double offset, const Tensor& d_out, const Tensor& d_sum,
                                        bool wants_weight);
Tensor rope(const Tensor& x, const Tensor& cosine, const Tensor& sine, float sign);
Tensor gated(kernels::Gate act, const Tensor& gate, const Tensor& up);
std::pair<Tensor, Tensor> gated_backward(kernels::Gate act, const Tensor& gate, const Tensor& up,
                                         const Tensor& d_out);
Tensor embedding_backward(const Tensor& rows, const Tensor& ids, int64_t table_rows);
double square_sum(const Tensor& x);
void adamw(const Tensor& p, const Tensor& g, const Tensor& m, const Tensor& v,
           const kernels::AdamWNumbers& numbers);

}  // namespace guerdon::ops::cuda
