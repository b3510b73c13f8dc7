#include "guerdon/ops/linear.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace guerdon::ops {
namespace {

TEST(Linear, GivesARowTheSameBitsWhateverTheRowCount) {
  for (const auto& [in, out] :
       {std::pair<int64_t, int64_t>{64, 48}, {512, 512}, {512, 1408}, {384, 1000}}) {
    const Tensor x = at::randn({700, in}), weight = at::randn({out, in}), bias = at::randn({out});
    const Tensor whole = ops::linear(x, weight, bias);
    std::vector<int64_t> counts{100, 127, 128, 129, 333, 512};
    for (int64_t n = 1; n <= 40; ++n) counts.push_back(n);
    for (const int64_t n : counts) {
      EXPECT_TRUE(
          ops::linear(x.narrow(0, 700 - n, n), weight, bias).equal(whole.narrow(0, 700 - n, n)))
          << n << " rows, " << in << " x " << out;
    }
  }
}

TEST(Linear, EqualsThePlainProduct) {
  const Tensor x = at::randn({3, 5, 16}), weight = at::randn({7, 16}), bias = at::randn({7});
  EXPECT_TRUE(at::allclose(ops::linear(x, weight, bias), at::linear(x, weight, bias), 1e-5, 1e-5));
  EXPECT_TRUE(at::allclose(ops::linear(x, weight), at::linear(x, weight), 1e-5, 1e-5));
  EXPECT_EQ(ops::linear(at::zeros({0, 16}), weight).sizes(), (std::vector<int64_t>{0, 7}));
}

TEST(Linear, SendsTheSameGradients) {
  const Tensor x = at::randn({3, 16}).requires_grad_(),
               weight = at::randn({7, 16}).requires_grad_(), seed = at::randn({3, 7});
  (ops::linear(x, weight) * seed).sum().backward();
  EXPECT_TRUE(at::allclose(x.grad(), seed.matmul(weight.detach()), 1e-5, 1e-5));
  EXPECT_TRUE(at::allclose(weight.grad(), seed.t().matmul(x.detach()), 1e-5, 1e-5));
}

}  // namespace
}  // namespace guerdon::ops
