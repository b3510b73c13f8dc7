/// Logistic and Bradley-Terry fits of small problems, by Newton's method.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace guerdon::math {

struct LogisticFit {
  std::vector<double> coefficients;  ///< [features]
  std::vector<double>
      standard_errors;  ///< [features]; from the inverse of the penalised Fisher information
  double log_loss = 0;  ///< mean of -log likelihood at the optimum, without the penalty
  bool converged = false;
};

struct LogisticOptions {
  double ridge = 1e-6;  ///< penalty ridge/2 |coefficients|^2: keeps separable data finite
  int64_t max_iterations = 100;
};

/// Maximum likelihood of P(y = 1 | x) = sigmoid(x . w): `features` [n, k] row by row, `outcomes`
/// [n] in [0, 1]. There is no intercept: add a column of ones, or leave it out where swapping the
/// two sides must flip the sign (pairs). Throws Error (Kind::bug) when n = 0, `features` is not a
/// multiple of n, or ridge <= 0.
LogisticFit logistic_fit(std::span<const double> features, std::span<const double> outcomes,
                         const LogisticOptions& options = {});

/// `winner` beat `loser` `weight` times.
struct Comparison {
  int64_t winner, loser;
  double weight = 1.0;
};

/// Strengths s with P(i beats j) = sigmoid(s_i - s_j) (Bradley and Terry 1952), [items], of mean 0
/// (with ridge > 0 the optimum has it by itself). Items that never met stay at 0. Throws Error
/// (Kind::bug) on an index outside [0, items).
std::vector<double> bradley_terry_fit(int64_t items, std::span<const Comparison> comparisons,
                                      const LogisticOptions& options = {});

}  // namespace guerdon::math
