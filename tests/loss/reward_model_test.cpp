#include "guerdon/loss/reward_model.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

namespace guerdon::loss {
namespace {

Tensor row(std::vector<double> values) { return at::tensor(values, at::kDouble); }

struct Case {
  PairScores scores{row({1.2, -.3}).requires_grad_(), row({.4, .1}).requires_grad_()};
  double mean(const Tensor& margin = {}, std::optional<double> centring = {}) {
    const Tensor loss =
        bradley_terry(scores, margin, {.center_rewards_coefficient = centring}).mean();
    loss.backward();
    return loss.item<double>();
  }
  void expect_gradient(double chosen1, double chosen2, double rejected1, double rejected2) {
    EXPECT_NEAR(scores.chosen.grad()[0].item<double>(), chosen1, 6e-7);
    EXPECT_NEAR(scores.chosen.grad()[1].item<double>(), chosen2, 6e-7);
    EXPECT_NEAR(scores.rejected.grad()[0].item<double>(), rejected1, 6e-7);
    EXPECT_NEAR(scores.rejected.grad()[1].item<double>(), rejected2, 6e-7);
  }
};

// Values and gradients of TRL 1.16's own loss code, float64.
TEST(BradleyTerry, AgreesWithTrl) {
  Case c;
  EXPECT_NEAR(c.mean(), .642058, 6e-7);
  c.expect_gradient(-.155013, -.299344, .155013, .299344);
}

TEST(BradleyTerry, AgreesWithTrlWithMargins) {
  Case c;
  EXPECT_NEAR(c.mean(row({.5, .2})), .795922, 6e-7);
  c.expect_gradient(-.212779, -.322828, .212779, .322828);
}

TEST(BradleyTerry, AgreesWithTrlWithCentring) {
  Case c;
  EXPECT_NEAR(c.mean({}, .01), .655058, 6e-7);
  c.expect_gradient(-.139013, -.301344, .171013, .297344);
  EXPECT_NEAR(Case().mean(row({.5, .2}), .01), .808922, 6e-7);
}

TEST(BradleyTerry, AgreesWithTrlOnATie) {
  EXPECT_NEAR(bradley_terry({row({1, 2}), row({1, 0})}).mean().item<double>(), .410038, 6e-7);
}

TEST(BradleyTerry, AMissingMarginIsZero) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NEAR(Case().mean(row({nan, nan})), .642058, 6e-7);
}

TEST(BradleyTerry, StaysFiniteForScoresFarApart) {
  const Tensor chosen = row({-1e6}).requires_grad_();
  const Tensor loss = bradley_terry({chosen, row({1e6})}).sum();
  loss.backward();
  EXPECT_EQ(loss.item<double>(), 2e6);
  EXPECT_EQ(chosen.grad()[0].item<double>(), -1.0);
}

}  // namespace
}  // namespace guerdon::loss
