// The bodies, compiled for AVX-512 (see CMakeLists.txt).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>

#include <immintrin.h>

#include "kernels.h"

namespace guerdon::kernels {
namespace avx512 {
namespace {

constexpr int kColumns =
    4;  // vectors of columns that a tile of the matrix product holds in registers

// In this order: each uses what stands before it.
#include "vector.h"
//
#include "attention_body.h"
#include "layers_body.h"
#include "logits_body.h"
#include "optimizer_body.h"
//
#include "divergence_body.h"

}  // namespace
}  // namespace avx512

const Kernels& avx512_kernels() {
  using namespace avx512;
  static const Kernels table{
      .attention_forward_float = attention_forward<float>,
      .attention_forward_double = attention_forward<double>,
      .attention_backward_float = attention_backward<float>,
      .attention_backward_double = attention_backward<double>,
      .rms_norm = rms_norm,
      .rms_norm_backward = rms_norm_backward,
      .rope = rope,
      .swiglu = swiglu,
      .swiglu_backward = swiglu_backward,
      .logit_block = logit_block,
      .logit_values = logit_values,
      .probabilities = probabilities,
      .above = above,
      .logit_gradient = logit_gradient,
      .pair_block = pair_block,
      .divergence_block = divergence_block,
      .divergence_gradient = divergence_gradient,
      .square_sum = square_sum,
      .adamw = adamw,
      .name = "avx512",
  };
  return table;
}

}  // namespace guerdon::kernels
