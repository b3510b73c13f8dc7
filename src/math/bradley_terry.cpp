#include "guerdon/math/bradley_terry.h"

#include <Eigen/Cholesky>
#include <cmath>

#include "guerdon/base/error.h"
#include "guerdon/math/calibration.h"

namespace guerdon::math {
namespace {

std::vector<double> values(const Eigen::VectorXd& vector) { return {vector.begin(), vector.end()}; }

struct Optimum {
  Eigen::VectorXd at;
  Eigen::MatrixXd hessian;
  bool converged;
};

/// Damped Newton on sum_i weight_i loss_i(x_i . w) + ridge/2 |w|^2, with loss the logistic one of
/// outcome y_i.
Optimum newton(const Eigen::MatrixXd& x, const Eigen::VectorXd& y, const Eigen::VectorXd& weight,
               const LogisticOptions& options) {
  const auto objective = [&](const Eigen::VectorXd& w) {
    const Eigen::VectorXd z = x * w;
    double sum = options.ridge / 2 * w.squaredNorm();
    for (Eigen::Index i = 0; i < z.size(); ++i) sum += weight[i] * (softplus(z[i]) - y[i] * z[i]);
    return sum;
  };
  Optimum out{Eigen::VectorXd::Zero(x.cols()), {}, false};
  double value = objective(out.at);
  for (int64_t iteration = 0; iteration < options.max_iterations && !out.converged; ++iteration) {
    const Eigen::VectorXd p = (x * out.at).unaryExpr(&sigmoid);
    const Eigen::VectorXd gradient =
        x.transpose() * (weight.array() * (p - y).array()).matrix() + options.ridge * out.at;
    const Eigen::VectorXd curvature = weight.array() * p.array() * (1 - p.array());
    out.hessian = x.transpose() * curvature.asDiagonal() * x;
    out.hessian.diagonal().array() += options.ridge;
    const Eigen::VectorXd step = out.hessian.ldlt().solve(gradient);

    double rate = 1;
    double next = objective(out.at - step);
    while (next > value && rate > 1e-10) {
      rate /= 2;
      next = objective(out.at - rate * step);
    }
    out.converged = value - next <= 1e-12 * (1 + std::abs(value));
    if (next <= value) {
      out.at -= rate * step;
      value = next;
    }
  }
  return out;
}

}  // namespace

LogisticFit logistic_fit(std::span<const double> features, std::span<const double> outcomes,
                         const LogisticOptions& options) {
  GUERDON_CHECK(!outcomes.empty() && !features.empty() && features.size() % outcomes.size() == 0,
                "logistic_fit: ", features.size(), " features of ", outcomes.size(), " rows");
  GUERDON_CHECK(options.ridge > 0, "logistic_fit: ridge must be positive, got ", options.ridge);
  const auto n = static_cast<Eigen::Index>(outcomes.size());
  const auto k = static_cast<Eigen::Index>(features.size() / outcomes.size());
  using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::MatrixXd x = Eigen::Map<const Rows>(features.data(), n, k);
  const Eigen::VectorXd y = Eigen::Map<const Eigen::VectorXd>(outcomes.data(), n);
  const Optimum optimum = newton(x, y, Eigen::VectorXd::Ones(n), options);

  const Eigen::VectorXd z = x * optimum.at;
  double loss = 0;
  for (Eigen::Index i = 0; i < n; ++i) loss += softplus(z[i]) - y[i] * z[i];
  const Eigen::MatrixXd covariance = optimum.hessian.ldlt().solve(Eigen::MatrixXd::Identity(k, k));
  return {.coefficients = values(optimum.at),
          .standard_errors = values(covariance.diagonal().cwiseMax(0).cwiseSqrt()),
          .log_loss = loss / static_cast<double>(n),
          .converged = optimum.converged};
}

std::vector<double> bradley_terry_fit(int64_t items, std::span<const Comparison> comparisons,
                                      const LogisticOptions& options) {
  GUERDON_CHECK(options.ridge > 0, "bradley_terry_fit: ridge must be positive, got ",
                options.ridge);
  const auto n = static_cast<Eigen::Index>(comparisons.size());
  Eigen::MatrixXd x = Eigen::MatrixXd::Zero(n, items);
  Eigen::VectorXd weight(n);
  for (Eigen::Index i = 0; i < n; ++i) {
    const Comparison& c = comparisons[static_cast<size_t>(i)];
    GUERDON_CHECK(c.winner >= 0 && c.winner < items && c.loser >= 0 && c.loser < items &&
                      c.winner != c.loser && c.weight >= 0,
                  "bradley_terry_fit: comparison ", i, " is ", c.winner, " against ", c.loser,
                  " of ", items, " items");
    x(i, c.winner) = 1;
    x(i, c.loser) = -1;
    weight[i] = c.weight;
  }
  return values(newton(x, Eigen::VectorXd::Ones(n), weight, options).at);
}

}  // namespace guerdon::math
