/// Cross-entropy of tokens, from logits and from hidden states.
#pragma once

#include <optional>

#include "guerdon/ops/token_stats.h"

namespace guerdon::ops {

enum class LossReduction {
  none,           ///< [N]
  sum,            ///< of the weighted rows
  mean_tokens,    ///< sum / number of live rows
  mean_weighted,  ///< sum / sum of the live rows' weights
};

struct CrossEntropyOptions {
  double label_smoothing = 0.0;  ///< eps: (1 - eps) (-log p_y) + eps (lse - mean z)
  bool dft = false;  ///< each row times its own p_y, without gradient (arXiv:2508.05629)
  LossReduction reduction = LossReduction::mean_tokens;
  Tensor weights = {};                ///< [N] of the rows; undefined: 1
  std::optional<double> denominator;  ///< in place of the reduction's own: of the whole step
};

/// kernels.md F3. Dead rows give 0; no live row at all gives 0 with gradient 0. Gradients to the
/// logits. Throws as token_stats does, and for smoothing outside [0, 1).
Tensor cross_entropy(const Tensor& logits, const Tensor& tokens,
                     const CrossEntropyOptions& options = {}, const LogitTransform& transform = {},
                     const LiveRows& live = {});

/// cross_entropy of hidden W^T + bias without ever storing the logits whole (kernels.md F13). The
/// gradients are computed in the forward pass, panel by panel, and only scaled in the backward: the
/// logits are never computed twice. Any reduction but `none`.
Tensor linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                            const Tensor& tokens, const CrossEntropyOptions& options = {},
                            const LogitTransform& transform = {}, const LiveRows& live = {},
                            const HeadOptions& head = {});

}  // namespace guerdon::ops
