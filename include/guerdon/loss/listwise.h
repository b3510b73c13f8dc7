/// Losses that turn ranked lists of responses into a reward model.
#pragma once

#include <string>
#include <vector>

#include "guerdon/base/settings.h"
#include "guerdon/ops/tensor.h"

namespace guerdon::loss {

struct ListOptions {
  std::string loss_type = "plackett_luce";  ///< or "ordered_chain"
  /// plackett_luce: 0 learns the order alone; above 0 the values count, soft maxima at this
  /// temperature.
  double list_temperature = 0.0;
  /// ordered_chain: weights of the pairs (1, 2), (1, 3), ..., (2, 3), ... of ranks; empty: all 1.
  std::vector<double> chain_weights;
  double score_penalty = 0.0;  ///< of each pair of a chain, as in PairOptions
};
/// Lists all but loss_type, one of list_loss_types(), and score_penalty, which pairs have too.
void describe(SettingList& field, ListOptions& options);
const std::vector<std::string>& list_loss_types();

/// The loss of one list: scores [k] of its responses, values [k] that say which is better (only
/// their order counts where list_temperature is 0). Both sorted by value, best first, equal values
/// in their order; with s the scores, r the values and t the temperature:
///
///     plackett_luce   sum over i < k of log sum_{m >= i} exp s_m - sum_{j >= i} q_i(j) s_j
///                     q_i(j) = exp(r_j / t) / sum_{m >= i} exp(r_m / t); at t = 0 the best of
///                     those that are left, or their mean where several are equal
///     ordered_chain   mean over the pairs a before b with r_a > r_b of
///                     w_ab (-log sigmoid(s_a - s_b) + c (s_a^2 + s_b^2) / 2)
///
/// Plackett-Luce with soft targets: GDRO, arXiv:2601.02036; the chain: ReMoDetect,
/// arXiv:2405.17382. 0 when all values are equal. Scalar. Throws Error (Kind::bug) when sizes
/// differ, or when chain_weights are not one for each pair of ranks.
Tensor list_loss(const Tensor& scores, const std::vector<double>& values,
                 const ListOptions& options = {});

/// How far a model tells the responses to one prompt apart, whichever is better (MetaRM, Dou et al.
/// 2024, arXiv:2405.00438): scores [k], k >= 2,
///
///     J = 2 / k^2 sum_{i < j} sigmoid(|s_i - s_j|)
///
/// (k - 1) / (2 k) when all are equal. Scalar; larger is further apart. Equal scores pull nowhere.
Tensor separation(const Tensor& scores);

/// The share of a list's ordered pairs whose scores stand in the right order; -1 without any.
double ordered_share(const Tensor& scores, const std::vector<double>& values);

/// The formula in force, with the options' numbers put in.
std::vector<std::string> explain(const ListOptions& options);

}  // namespace guerdon::loss
