#include "guerdon/loss/reward_model.h"

#include <ATen/ATen.h>

#include "guerdon/base/error.h"
#include "guerdon/base/formula.h"

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

std::vector<std::string> explain(const BradleyTerryOptions& options) {
  std::string formula = "-log sg(chosen - rejected - margin)";
  std::vector<std::string> lines;
  if (options.center_rewards_coefficient) {
    formula += " + {k} (chosen + rejected)^2";
    lines.push_back(symbols(formula) + "  =  " +
                    numbers(formula, {{"k", *options.center_rewards_coefficient}}));
  } else {
    lines.push_back(formula);
  }
  lines.emplace_back(
      "chosen, rejected: the two scores; margin: the row's field of that name, 0 where it is "
      "missing; sg the sigmoid");
  return lines;
}

}  // namespace guerdon::loss
