/// Private to `ops`: the two halves of token_stats without a graph, on float32, bfloat16 and
/// float16 logits.
#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include <functional>
#include <limits>
#include <span>

#include "guerdon/ops/token_stats.h"
#include "kernels/cpu/kernels.h"

namespace guerdon::ops {

/// (m, s, e, r) of kernels.md 3.2 over the blocks of a row, merged in order.
struct MergedRow {
  double top = -std::numeric_limits<double>::infinity(), sum = 0, entropy = 0, squares = 0;
  double raw_top = top, raw_sum = 0, total = 0;
  int64_t argmax = 0, finite = 0;
  bool poisoned = false;

  explicit MergedRow(std::span<const kernels::LogitBlock> blocks);
  /// log sum e^z: -inf for a row of -inf alone, NaN for a poisoned one.
  double lse() const;
};

struct RowStats {
  TokenStats of;
  Tensor finite;  ///< [N] float: columns that are not -inf, where the mean was asked for
};

/// kernels.md F1. `live` bool [N] or undefined; dead rows give 0.
RowStats row_stats(const Tensor& x, const Tensor& tokens, const Tensor& live,
                   const LogitTransform& transform, const StatsRequest& request);

/// What the backward pass needs of the forward one, [N] float each; `entropy`, `finite` may be
/// undefined where no gradient comes in through them.
struct SavedStats {
  Tensor lse, entropy, finite;
};
/// Upstream gradients [N] float, undefined for none.
struct StatsGradients {
  Tensor logprob, entropy, lse, mean_logit;
};

/// kernels.md F2: the gradient into `out`, of x's type, which may be x itself.
void row_gradients(const Tensor& x, const Tensor& tokens, const Tensor& live,
                   const LogitTransform& transform, const SavedStats& saved,
                   const StatsGradients& gradients, Tensor& out);

/// token_stats() of checked arguments; `live` as live_rows() gives it.
TokenStats live_stats(const Tensor& logits, const Tensor& tokens, const Tensor& live,
                      const LogitTransform& transform, const StatsRequest& request,
                      bool logits_are_temporary = false);

/// TokenStats as the outputs of an autograd function, and back.
torch::autograd::variable_list to_list(const TokenStats& stats,
                                       torch::autograd::AutogradContext* context);
TokenStats from_list(const torch::autograd::variable_list& all, bool tokens,
                     const StatsRequest& request);
StatsGradients upstream(const torch::autograd::variable_list& gradients);

/// The statistics of the live rows alone (by their indices), put back among zeros.
TokenStats scattered(const Tensor& live, const std::function<TokenStats(const Tensor&)>& of_rows);

}  // namespace guerdon::ops
