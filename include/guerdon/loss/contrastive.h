/// Contrastive losses: two views of a thing are near each other, and far from those of others.
#pragma once

#include <cstdint>

#include "guerdon/ops/tensor.h"

namespace guerdon::loss {

/// SimCSE (Gao et al. 2021, arXiv:2104.08821, eq. 1): s, t [N, H] two views of N things, [N]:
///
///     l_i = -log exp(cos(s_i, t_i) / tau) / sum_j exp(cos(s_i, t_j) / tau)
///
/// Throws Error (Kind::bug) when sizes differ.
Tensor simcse(const Tensor& s, const Tensor& t, double temperature);

/// SwAV (Caron et al. 2020, arXiv:2006.09882, eq. 2): the views s, t [N, H] are to be near the same
/// of the prototypes [K, H], [N]:
///
///     l_i = -sum_k q_k(s_i) log p_k(t_i) - sum_k q_k(t_i) log p_k(s_i)
///     p(x) = softmax over k of cos(x, c_k) / tau;  q = balanced(cos(x, c_k)), no gradient
///
/// Throws Error (Kind::bug) when sizes differ.
Tensor swav(const Tensor& s, const Tensor& t, const Tensor& prototypes, double temperature);

/// Assignments q [N, K] of N things to K prototypes, by the similarities [N, K], such that all
/// prototypes get nearly the same share: exp(similarity / sharpness), its columns and rows brought
/// to equal sums in turn (Sinkhorn and Knopp), rows last: each sums to 1. Three rounds at 0.05 are
/// SwAV's.
Tensor balanced(const Tensor& similarity, double sharpness = 0.05, int64_t rounds = 3);

}  // namespace guerdon::loss
