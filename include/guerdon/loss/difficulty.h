/// How much a prompt's responses are to count: the farther from a demonstration and the less a
/// reward model tells them apart from it, the more (DR-IRL, arXiv:2503.18991). Each function sees
/// one prompt.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "guerdon/ops/tensor.h"

namespace guerdon::loss {

/// How alike two texts are by their clauses: with cosines s [clauses of the demonstration, clauses
/// of the response], the mean over the demonstration's clauses of the likest of the response's
/// ("demonstration", as the paper's equations have it), or the other way round ("response"). 0 when
/// either has no clause.
double clause_similarity(const Tensor& cosines, const std::string& mean_over = "demonstration");

/// Data hardness of each response, from its similarity W to the demonstration:
///
///     d = 1 - W        result = sigmoid(d) / sigmoid(mean d)
///
/// In (0.6840, 1.4621) for W in [0, 1]; 1 for all when all are equal.
std::vector<double> data_hardness(std::span<const double> similarity);

/// Which gaps are kept: those within sqrt(tau) of their mean, or, with `keep` above 0, so many of
/// the nearest (the paper has both and is not clear about the second).
struct ResponsivenessOptions {
  double tau = 1.0;
  int64_t keep = 0;
};

/// How much the reward model tells the demonstration from the responses, from the gaps R(demo) -
/// R(response), one for each response:
///
///     result = sigmoid(mean of the gaps that are kept) / sigmoid(mean gap)
///
/// 1 when none is kept.
double responsiveness(std::span<const double> gaps, const ResponsivenessOptions& options = {});

}  // namespace guerdon::loss
