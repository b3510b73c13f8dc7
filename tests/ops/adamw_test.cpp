#include "guerdon/ops/adamw.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "support/errors.h"

namespace guerdon::ops {
namespace {

struct State {
  Tensor parameter, first, second;
};

State run(const Tensor& start, const std::vector<Tensor>& gradients, AdamWStep options) {
  State s{start.clone(), at::zeros_like(start), at::zeros_like(start)};
  for (size_t i = 0; i < gradients.size(); ++i) {
    options.step = static_cast<int64_t>(i) + 1;
    adamw_step(s.parameter, gradients[i].to(start.scalar_type()), s.first, s.second, options);
  }
  return s;
}

TEST(AdamWStep, WorkedByHand) {
  // g = 2: m = 0.2, v = 0.004; both corrections give m^ = 2, v^ = 4; p = 1 (1 - 0.01) - 0.1 * 2
  // / 2.
  for (const auto type : {at::kFloat, at::kDouble}) {
    const State s = run(at::ones({1}, type), {at::full({1}, 2.0)},
                        {.learning_rate = 0.1, .epsilon = 0, .weight_decay = 0.1});
    EXPECT_NEAR(s.parameter.item<double>(), 0.89, 1e-7);
    EXPECT_NEAR(s.first.item<double>(), 0.2, 1e-7);
    EXPECT_NEAR(s.second.item<double>(), 0.004, 1e-9);
  }
}

TEST(AdamWStep, IsLibTorchsToAMillionth) {
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{7}, {301, 1000}, {3, 0}}) {
    const Tensor start = at::randn(shape);
    std::vector<Tensor> gradients;
    for (int i = 0; i < 5; ++i) gradients.push_back(at::randn(shape) * 3);
    const AdamWStep options{.learning_rate = 1e-3, .weight_decay = 0.05, .gradient_scale = 0.25};
    const State found = run(start, gradients, options);
    Tensor p = start.clone(), m = at::zeros_like(p), v = at::zeros_like(p), t = at::zeros({});
    for (const Tensor& g : gradients) {
      t += 1;
      at::_fused_adamw_({p}, {g * 0.25}, {m}, {v}, {}, {t}, 1e-3, 0.9, 0.999, 0.05, 1e-8, false,
                        false);
    }
    EXPECT_TRUE(at::allclose(found.parameter, p, 1e-6, 1e-7));
    EXPECT_TRUE(at::allclose(found.first, m, 1e-6, 1e-7));  // of summands around 1
    EXPECT_TRUE(at::allclose(found.second, v, 1e-6, 1e-12));
  }
}

TEST(AdamWStep, ChangesTheVersionThatCopiesGoBy) {
  const Tensor p = at::ones({4}), zero = at::zeros({4});
  const auto before = p._version();
  adamw_step(p, at::ones({4}), zero.clone(), zero.clone(), {.learning_rate = 0.1});
  EXPECT_GT(p._version(), before);
}

TEST(AdamWStep, TakesTransposedTensorsAlike) {
  const Tensor start = at::randn({40, 30}).t(), gradient = at::randn({30, 40});
  const State strided = run(start, {gradient}, {.learning_rate = 0.1});
  const State plain = run(start.contiguous(), {gradient}, {.learning_rate = 0.1});
  EXPECT_TRUE(strided.parameter.equal(plain.parameter));
}

TEST(SquareSum, IsExactInFloat64AndDoesNotDependOnThreads) {
  const Tensor x = at::randn({777, 1001}) * 100;
  const double expected = x.to(at::kDouble).square().sum().item<double>();
  const int threads = at::get_num_threads();
  const double found = square_sum(x);
  EXPECT_NEAR(found, expected, 1e-12 * expected);
  for (const int count : {1, 3}) {
    at::set_num_threads(count);
    EXPECT_EQ(square_sum(x), found);
  }
  at::set_num_threads(threads);
  EXPECT_NEAR(square_sum(x.to(at::kDouble)), expected, 1e-12 * expected);
  EXPECT_EQ(square_sum(at::zeros({0})), 0);
  EXPECT_TRUE(std::isnan(square_sum(at::full({3}, std::numeric_limits<float>::quiet_NaN()))));
}

TEST(AdamWStep, RefusesTensorsThatDiffer) {
  const Tensor p = at::ones({4}), m = at::zeros({4});
  EXPECT_NE(test::refusal(Kind::bug, [&] { adamw_step(p, at::ones({5}), m, m, {}); }).find("alike"),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon::ops
