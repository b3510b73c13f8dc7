#include "guerdon/loss/reward_model.h"

#include <ATen/ATen.h>

#include "guerdon/base/error.h"

namespace guerdon::loss {

Tensor bradley_terry(const PairScores& scores, const Tensor& margin,
                     const BradleyTerryOptions& options) {
  GUERDON_CHECK(scores.chosen.dim() == 1 && scores.chosen.sizes() == scores.rejected.sizes(),
                "bradley_terry: ", scores.chosen.sizes(), " chosen scores, ",
                scores.rejected.sizes(), " rejected");
  GUERDON_CHECK(!margin.defined() || margin.sizes() == scores.chosen.sizes(),
                "bradley_terry: ", margin.sizes(), " margins for ", scores.chosen.sizes(),
                " pairs");
  Tensor difference = scores.chosen - scores.rejected;
  if (margin.defined())
    difference = difference - at::nan_to_num(margin).to(difference.scalar_type());
  Tensor loss = -at::log_sigmoid(difference);
  if (options.center_rewards_coefficient) {
    loss = loss + *options.center_rewards_coefficient * (scores.chosen + scores.rejected).square();
  }
  return loss;
}

}  // namespace guerdon::loss
