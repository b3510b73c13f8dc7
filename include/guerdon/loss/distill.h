/// Losses that hold a model near numbers that another gave.
#pragma once

#include "guerdon/ops/tensor.h"

namespace guerdon::loss {

/// How far each score has gone from the one that it began with, (score - start)^2, any shape: what
/// keeps a reward model that learns something new from forgetting (ReMoDetect, Lee et al. 2024,
/// arXiv:2405.17382). No gradient flows into `start`. Throws Error (Kind::bug) when sizes differ.
Tensor score_drift(const Tensor& scores, const Tensor& start);

}  // namespace guerdon::loss
