#include "guerdon/train/lookahead.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "guerdon/loss/listwise.h"

namespace guerdon::train {
namespace {

// r = theta f: responses with f = 1 and 2, a pair whose features differ by 1.5.
class OneNumber : public testing::Test {
 protected:
  void climb() const { loss::separation(theta_ * at::tensor({1.0, 2.0}, at::kDouble)).backward(); }
  void learn() const { (-at::log_sigmoid(1.5 * theta_)).sum().backward(); }
  double gradient(const LookaheadOptions& options) const {
    gradients_ahead(
        {theta_}, options, [&] { climb(); }, [&] { learn(); });
    return theta_.grad().item<double>();
  }
  const Tensor theta_ = at::tensor({0.5}, at::kDouble).requires_grad_();
};

constexpr double kSixDigits = 6e-7;

TEST_F(OneNumber, MetaRmsFirstOrderStep) {
  climb();
  EXPECT_NEAR(theta_.grad().item<double>(), .117502, kSixDigits);
  theta_.mutable_grad() = Tensor();
  const double gradient = this->gradient({.step_size = .1});
  EXPECT_NEAR(gradient, -.475490, kSixDigits);
  EXPECT_NEAR(.5 - .1 * gradient, .547549, kSixDigits);
}

TEST_F(OneNumber, MetaRmsSecondOrderStep) {
  EXPECT_NEAR(.5 - .1 * gradient({.step_size = .1, .second_order = true}), .547412, kSixDigits);
}

TEST_F(OneNumber, AStepOfNothingIsTheLossAlone) {
  EXPECT_NEAR(.5 - .1 * gradient({.step_size = 0}), .548123, kSixDigits);
  theta_.mutable_grad() = Tensor();
  EXPECT_NEAR(.5 - .1 * gradient({.step_size = 0, .second_order = true}), .548123, kSixDigits);
}

TEST_F(OneNumber, IsPutBackAlsoWhenTheLossThrows) {
  const Tensor before = theta_.detach().clone();
  for (const bool second_order : {false, true}) {
    gradient({.step_size = .1, .second_order = second_order});
    EXPECT_TRUE(at::equal(theta_, before));
    theta_.mutable_grad() = Tensor();
    EXPECT_THROW(
        gradients_ahead(
            {theta_}, {}, [&] { climb(); }, [] { throw std::runtime_error("out of memory"); }),
        std::runtime_error);
    EXPECT_TRUE(at::equal(theta_, before));
    theta_.mutable_grad() = Tensor();
  }
}

}  // namespace
}  // namespace guerdon::train
