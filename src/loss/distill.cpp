#include "guerdon/loss/distill.h"

#include <ATen/ATen.h>

#include "guerdon/base/error.h"

namespace guerdon::loss {

Tensor score_drift(const Tensor& scores, const Tensor& start) {
  GUERDON_CHECK(scores.sizes() == start.sizes(), "score_drift: ", scores.sizes(), " scores, ",
                start.sizes(), " to compare with");
  return (scores - start.detach()).square();
}

}  // namespace guerdon::loss
