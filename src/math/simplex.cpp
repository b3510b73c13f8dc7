#include "guerdon/math/simplex.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "guerdon/base/error.h"

namespace guerdon::math {
namespace {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

// Wolfe's method adds a vector or drops one in each round; hundreds of vectors take hundreds.
constexpr int kRounds = 10'000;

/// The shortest sum of these vectors with weights that add up to 1 and may be negative.
Vector affine_weights(const Matrix& g, const std::vector<Eigen::Index>& among) {
  const auto n = static_cast<Eigen::Index>(among.size());
  Matrix a = Matrix::Ones(n + 1, n + 1);
  a(n, n) = 0.0;
  for (Eigen::Index i = 0; i < n; ++i) {
    for (Eigen::Index j = 0; j < n; ++j)
      a(i, j) = g(among[static_cast<size_t>(i)], among[static_cast<size_t>(j)]);
  }
  Vector b = Vector::Zero(n + 1);
  b(n) = 1.0;
  return a.completeOrthogonalDecomposition().solve(b).head(n);
}

}  // namespace

std::vector<double> shortest_mixture(std::span<const double> products) {
  const auto n = static_cast<Eigen::Index>(std::lround(std::sqrt(products.size())));
  GUERDON_CHECK(n > 0 && static_cast<size_t>(n * n) == products.size(),
                "shortest_mixture: ", products.size(), " products are not of n vectors");
  Matrix g(n, n);
  for (Eigen::Index i = 0; i < n * n; ++i) {
    GUERDON_CHECK(std::isfinite(products[static_cast<size_t>(i)]),
                  "shortest_mixture: a product is not finite");
    g(i / n, i % n) = products[static_cast<size_t>(i)];
  }
  // Of vectors of length 1 at most, so that the tolerance means something.
  const double scale = g.diagonal().maxCoeff();
  Vector weights = Vector::Zero(n);
  Eigen::Index first = 0;
  g.diagonal().minCoeff(&first);
  weights(first) = 1.0;
  if (scale <= 0.0) return {weights.data(), weights.data() + n};
  g /= scale;

  constexpr double kTolerance = 1e-12;
  std::vector<Eigen::Index> used{first};
  for (int round = 0; round < kRounds; ++round) {
    const Vector along = g * weights;  // the mixture's product with each vector
    Eigen::Index next = 0;
    if (weights.dot(along) - along.minCoeff(&next) <= kTolerance) break;
    if (std::find(used.begin(), used.end(), next) != used.end())
      break;  // rounding is all that is left
    used.push_back(next);
    for (;;) {
      const Vector affine = affine_weights(g, used);
      // As far towards it as no weight becomes negative.
      double step = 1.0;
      for (size_t i = 0; i < used.size(); ++i) {
        const double now = weights(used[i]), then = affine(static_cast<Eigen::Index>(i));
        if (then < kTolerance) step = std::min(step, now - then > 0.0 ? now / (now - then) : 0.0);
      }
      for (size_t i = 0; i < used.size(); ++i) {
        double& weight = weights(used[i]);
        weight += step * (affine(static_cast<Eigen::Index>(i)) - weight);
      }
      if (step >= 1.0) break;
      std::erase_if(used, [&](Eigen::Index i) {
        if (weights(i) > kTolerance) return false;
        weights(i) = 0.0;
        return true;
      });
    }
  }
  weights = weights.cwiseMax(0.0);
  weights /= weights.sum();
  return {weights.data(), weights.data() + n};
}

}  // namespace guerdon::math
