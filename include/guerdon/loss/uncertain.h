/// Scores with a deviation each, for losses that know only scores (BRME, arXiv:2409.15360; the
/// paper's own choice between the two is not confirmed).
#pragma once

#include "guerdon/model/readout.h"
#include "guerdon/ops/tensor.h"

namespace guerdon::loss {

/// Scores of pairs, rows (chosen, rejected, chosen, ...), measured in the deviation of their
/// difference: mu / sqrt(s_chosen^2 + s_rejected^2), [rows, 1]. The probit loss of them is -log Phi
/// of the chance that the chosen response's score is the higher one.
Tensor scores_in_deviations(const model::Numbers& rows);

/// Drawn scores mu + s eps, [rows, 1], with standard normal eps [rows]: gradients reach both.
Tensor drawn_scores(const model::Numbers& rows, const Tensor& eps);

}  // namespace guerdon::loss
