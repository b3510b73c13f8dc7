/// Private to `ops`: the two halves of token_stats without a graph, on float32, bfloat16 and
/// float16 logits.
#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include <functional>
#include <span>

#include "device.h"
#include "kernels/merge.h"

namespace guerdon::ops {

/// A row from its blocks, in order.
kernels::MergedRow merged(std::span<const kernels::LogitBlock> blocks);

/// kernels.md F1. `live` bool [N] or undefined; dead rows give 0.
RowStats row_stats(const Tensor& x, const Tensor& tokens, const Tensor& live,
                   const LogitTransform& transform, const StatsRequest& request);

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
