/// What a process reward model says of a solution's steps: as one number, and made safe to be
/// learnt from.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace guerdon::math {

/// Scores of steps, each in [0, 1], as one number (RewardMATH, arXiv:2410.01729): "min", "max",
/// "product", "geometric_mean", "mean", "mean_logit" (sigmoid of the mean logit), "mean_odds" (mean
/// of p / (1 - p)), "last", "sum". For the two that divide, p is kept within [1e-6, 1 - 1e-6]. A
/// solution without steps scores 0.5, its sum 0. Throws Error (Kind::settings) for another name.
double reduce_steps(std::span<const double> steps, const std::string& how);
const std::vector<std::string>& step_reductions();

/// Step rewards whose sum no repetition of good steps can raise (PRM Clip and Delta,
/// arXiv:2410.15115), q the scores of K steps:
///
///     clip        r_k = min(q_k - eta, 0)
///     delta       r_k = q_k - q_{k+1}, r_{K-1} = q_{K-1}, r_K = 0: they add up to q_1
///     clip_delta  delta of the clipped ones
///     none        q
///
/// Of one step delta gives 0. Throws Error (Kind::settings) for another name.
std::vector<double> shape_steps(std::span<const double> steps, const std::string& how, double eta);
const std::vector<std::string>& step_shapes();

}  // namespace guerdon::math
