// What libguerdon_cuda.so gives to the operators.
#include "kernels/cuda/tensors.h"

const guerdon::ops::DeviceKernels* guerdon_cuda_kernels_1() {
  using namespace guerdon::ops;
  static const DeviceKernels bodies{
      .row_stats = cuda::row_stats,
      .row_gradients = cuda::row_gradients,
      .pair_sums = cuda::pair_sums,
      .pair_gradient = cuda::pair_gradient,
      .kl_estimate = cuda::kl_estimate,
      .policy_pass = cuda::policy_pass,
      .segment_logprob = cuda::segment_logprob,
      .discounted_scan = cuda::discounted_scan,
      .gae = cuda::gae,
      .sample_tokens = cuda::sample_tokens,
      .attention_forward = cuda::attention_forward,
      .attention_backward = cuda::attention_backward,
      .decode_attention = cuda::decode_attention,
      .norm_forward = cuda::norm_forward,
      .norm_backward = cuda::norm_backward,
      .rope = cuda::rope,
      .gated = cuda::gated,
      .gated_backward = cuda::gated_backward,
      .embedding_backward = cuda::embedding_backward,
      .square_sum = cuda::square_sum,
      .adamw = cuda::adamw,
  };
  return &bodies;
}
