#include "guerdon/loss/uncertain.h"

#include <ATen/ATen.h>

#include "guerdon/base/error.h"

namespace guerdon::loss {

Tensor scores_in_deviations(const model::Numbers& rows) {
  GUERDON_CHECK(rows.value.numel() % 2 == 0 && rows.value.sizes() == rows.deviation.sizes(),
                "scores_in_deviations: ", rows.value.sizes(), " scores, ", rows.deviation.sizes(),
                " deviations");
  const Tensor of_difference =
      rows.deviation.view({-1, 2}).square().sum(1, /*keepdim=*/true).sqrt();
  return (rows.value.view({-1, 2}) / of_difference).view({-1, 1});
}

Tensor drawn_scores(const model::Numbers& rows, const Tensor& eps) {
  return rows.value.view({-1, 1}) +
         rows.deviation.view({-1, 1}) * eps.to(rows.value.options()).view({-1, 1});
}

}  // namespace guerdon::loss
