/// Exact divergences between two next-token distributions, over the whole vocabulary.
#pragma once

#include "guerdon/ops/token_stats.h"

namespace guerdon::ops {

/// Of a policy (student) p and a reference (teacher) q.
enum class Divergence {
  reverse_kl,       ///< KL(p || q) = sum p (log p - log q)
  forward_kl,       ///< KL(q || p)
  jsd,              ///< beta KL(q || m) + (1 - beta) KL(p || m), m = beta q + (1 - beta) p
  total_variation,  ///< sum |p - q|, in [0, 2]
};

struct DivergenceOptions {
  /// jsd: in [0, 1]. As GKD defines it, 0 is forward_kl and 1 reverse_kl (arXiv:2306.13649); the
  /// formula itself tends to 0 there.
  double beta = 0.5;
  LogitTransform student, teacher;
  /// KL only: one read of shifted sums, absolute error up to 5e-6, in place of two reads whose
  /// terms are all >= 0 (relative error 2e-4 down to the smallest values).
  bool fast = false;
  bool truncate_vocabulary = false;  ///< unequal widths: both are cut to the smaller one
};

/// One value per row [N], float32 (float64 for float64): kernels.md F6, F7, F9. student and teacher
/// logits [N, V]; each keeps its own type. Gradients to the student, and to the teacher for the KL
/// kinds. Equal inputs give exactly 0. q_i = 0 < p_i makes KL(p || q) +inf, with finite gradients.
/// Dead rows by mask: value and gradient 0.
///
/// Throws Error (Kind::bug) for widths that differ (unless truncate_vocabulary), and as
/// token_stats.
Tensor divergence(const Tensor& student, const Tensor& teacher, Divergence kind,
                  const DivergenceOptions& options = {}, const Tensor& mask = {});

/// KL(student || softmax(c1 z1 + c2 z2)) of two teachers, per row: c1, c2 [N] float32 (kernels.md
/// F8, AlignDistil). Gradient to the student alone. The combination is never stored.
Tensor combined_kl(const Tensor& student, const Tensor& first, const Tensor& second,
                   const Tensor& first_weight, const Tensor& second_weight,
                   const DivergenceOptions& options = {}, const Tensor& mask = {});

/// A model's last hidden states and its LM head.
struct Head {
  Tensor hidden, weight, bias = {};
};

/// divergence() of two models by their hidden states and heads, whose widths H may differ, without
/// storing either's logits whole (kernels.md F15). Gradients to the student's hidden, weight, bias.
/// Logits that fit in the workspace become their gradient: then there is one backward pass.
Tensor linear_divergence(const Head& student, const Head& teacher, Divergence kind,
                         const DivergenceOptions& options = {}, const Tensor& mask = {},
                         const HeadOptions& head = {});

/// combined_kl() in that form.
Tensor linear_combined_kl(const Head& student, const Head& first, const Head& second,
                          const Tensor& first_weight, const Tensor& second_weight,
                          const DivergenceOptions& options = {}, const Tensor& mask = {},
                          const HeadOptions& head = {});

}  // namespace guerdon::ops
