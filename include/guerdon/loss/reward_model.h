/// Losses that turn judgements into a reward model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "guerdon/ops/tensor.h"

namespace guerdon::loss {

/// Scores of the two responses of each pair, each [B].
struct PairScores {
  Tensor chosen;
  Tensor rejected;
};

/// Named as in TRL.
struct BradleyTerryOptions {
  /// Weight of (chosen + rejected)^2, which keeps the scores around zero (Eisenstein et al. 2023,
  /// arXiv:2312.09244); they suggest 0.01.
  std::optional<double> center_rewards_coefficient;
};

/// Bradley-Terry: the chosen response wins with probability sigmoid(chosen - rejected).
///
///     loss = -log sigmoid(chosen - rejected - margin) + k (chosen +
///     rejected)^2      [B]
///
/// `margin` [B] is undefined when the data has none (Touvron et al. 2023, arXiv:2307.09288, eq. 2);
/// a missing value (NaN) is 0. Throws Error (Kind::bug) when sizes differ.
Tensor bradley_terry(const PairScores& scores, const Tensor& margin = {},
                     const BradleyTerryOptions& options = {});

/// The formula in force, with the options' numbers put in.
std::vector<std::string> explain(const BradleyTerryOptions& options);

}  // namespace guerdon::loss
