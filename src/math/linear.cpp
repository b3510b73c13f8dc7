#include "guerdon/math/linear.h"

#include <Eigen/Dense>

#include "guerdon/base/error.h"

namespace guerdon::math {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixView = Eigen::Map<const Matrix>;
using VectorView = Eigen::Map<const Eigen::VectorXd>;

std::vector<double> values_of(const Eigen::VectorXd& x) { return {x.data(), x.data() + x.size()}; }

}  // namespace

std::vector<double> solve(std::span<const double> a, std::span<const double> b) {
  GUERDON_CHECK(!b.empty() && a.size() == b.size() * b.size(), "solve: ", a.size(),
                " coefficients, ", b.size(), " values");
  const auto n = static_cast<Eigen::Index>(b.size());
  const Eigen::FullPivLU<Matrix> lu(MatrixView(a.data(), n, n));
  GUERDON_CHECK(lu.isInvertible(), "solve: the matrix is singular");
  return values_of(lu.solve(VectorView(b.data(), n)));
}

std::vector<double> least_squares(std::span<const double> a, std::span<const double> b) {
  GUERDON_CHECK(!b.empty() && !a.empty() && a.size() % b.size() == 0, "least_squares: ", a.size(),
                " coefficients, ", b.size(), " values");
  const auto m = static_cast<Eigen::Index>(b.size());
  const auto n = static_cast<Eigen::Index>(a.size() / b.size());
  const Eigen::CompleteOrthogonalDecomposition<Matrix> decomposition(MatrixView(a.data(), m, n));
  return values_of(decomposition.solve(VectorView(b.data(), m)));
}

}  // namespace guerdon::math
