/// All bodies and the table of them, for one instruction set. The file that includes it says which:
/// GUERDON_ISA, the namespace and name; GUERDON_TABLE, the function that gives the table;
/// GUERDON_TILE_COLUMNS, how many vectors of columns a tile of the matrix product holds in
/// registers.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>
#include <type_traits>

#include <immintrin.h>

#include "kernels.h"

#define GUERDON_TEXT_OF(word) #word
#define GUERDON_TEXT(word) GUERDON_TEXT_OF(word)

namespace guerdon::kernels {
namespace GUERDON_ISA {
namespace {

constexpr int kColumns = GUERDON_TILE_COLUMNS;

// In this order: each uses what stands before it.
#include "vector.h"
//
#include "attention_body.h"
#include "layers_body.h"
#include "logits_body.h"
#include "optimizer_body.h"
//
#include "divergence_body.h"
#include "policy_body.h"

}  // namespace
}  // namespace GUERDON_ISA

const Kernels& GUERDON_TABLE() {
  using namespace GUERDON_ISA;
  static const Kernels table{
      .attention_forward_float = attention_forward<float>,
      .attention_forward_double = attention_forward<double>,
      .attention_backward_float = attention_backward<float>,
      .attention_backward_double = attention_backward<double>,
      .rms_norm = rms_norm,
      .rms_norm_backward = rms_norm_backward,
      .rope = rope,
      .gated = gated,
      .gated_backward = gated_backward,
      .add_rows = add_rows,
      .logit_block = logit_block,
      .logit_values = logit_values,
      .gather_logits = gather_logits,
      .scatter_gradient = scatter_gradient,
      .probabilities = probabilities,
      .above = above,
      .logit_gradient = logit_gradient,
      .pair_block = pair_block,
      .divergence_block = divergence_block,
      .divergence_gradient = divergence_gradient,
      .kl_estimate = kl_estimate,
      .policy_terms = policy_terms,
      .square_sum = square_sum,
      .adamw = adamw,
      .name = GUERDON_TEXT(GUERDON_ISA),
  };
  return table;
}

}  // namespace guerdon::kernels
