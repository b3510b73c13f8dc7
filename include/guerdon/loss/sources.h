/// Pairs out of several sources, whose losses are weighed against each other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "guerdon/loss/reward_model.h"

namespace guerdon::loss {

/// What each source's mean loss asks of the head alone: the gradients of it to the head's weight,
/// [S, H], in closed form (MORE, Zeng et al. 2023, arXiv:2312.07401):
///
///     g_i = mean over the pairs of source i of dl/d(chosen) f_chosen + dl/d(rejected) f_rejected
///
/// For Bradley-Terry: -sigmoid(-(chosen - rejected)) (f_chosen - f_rejected). `chosen` and
/// `rejected` hold the states f, [B, H], that the head reads; `source` [B] int64, in [0, S). Zeros
/// for a source without a pair. No gradient. Throws Error (Kind::bug) when sizes differ.
Tensor head_gradients(const PairScores& scores, const Columns& columns, const PairOptions& options,
                      const Tensor& chosen, const Tensor& rejected, const Tensor& source,
                      int64_t sources);

/// How much a pair of each source counts, [S] float64, so that their gradients `g` [S, H] together
/// pull all losses down: N lambda_i of the N sources that are `present` [S], lambda the weights of
/// their shortest mixture (math/simplex.h); 0 for the others. `of_length_one`: g is divided by its
/// length first.
std::vector<double> source_weights(const Tensor& g, const std::vector<bool>& present,
                                   bool of_length_one);

}  // namespace guerdon::loss
