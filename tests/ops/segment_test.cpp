#include "guerdon/ops/segment.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "support/errors.h"
#include "support/gradients.h"

namespace guerdon::ops {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr at::ScalarType kTypes[] = {at::kDouble, at::kFloat};

Tensor numbers(const std::vector<double>& values, at::ScalarType type) {
  return at::tensor(values, at::kDouble).to(type);
}
Tensor ids(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

TEST(SegmentLogprob, WorkedByHand) {
  for (const at::ScalarType type : kTypes) {
    // Rows of 2, 0 and 3 tokens; the last is not looked at.
    const SegmentLogprob s = segment_logprob(
        numbers({1, 3, 5, 7, kNaN}, type), ids({0, 0, 2, 2, 2}), 3, numbers({1, 1, 1, 2, 0}, type));
    EXPECT_TRUE(s.sum.equal(numbers({4, 0, 19}, type)));
    EXPECT_TRUE(at::allclose(s.mean, numbers({2, 0, 19.0 / 3}, type), 1e-6));
    EXPECT_TRUE(s.weight.equal(numbers({2, 0, 3}, type)));
    const SegmentLogprob plain = segment_logprob(numbers({1, 3, 5}, type), ids({1, 0, 1}), 2);
    EXPECT_TRUE(plain.sum.equal(numbers({3, 6}, type)));
    EXPECT_TRUE(plain.weight.equal(numbers({1, 2}, type)));
  }
}

TEST(SegmentLogprob, HasTheGradientsOfCentralDifferences) {
  const Tensor row = ids({0, 2, 0, 2, 2, 3}), weight = numbers({1, 1, .5, 0, 2, 1}, at::kDouble);
  const Tensor a = at::randn({4}, at::kDouble), b = at::randn({4}, at::kDouble);
  test::check_gradients(
      [&](const auto& in) {
        const SegmentLogprob s = segment_logprob(in[0], row, 4, weight);
        return (s.sum * a + s.mean.square() * b).sum();
      },
      {at::randn({6}, at::kDouble)});
}

TEST(SegmentLogprob, FloatAgreesWithDouble) {
  const Tensor values = at::randn({3'000}) * 3, row = at::randint(0, 40, {3'000}, at::kLong);
  const Tensor weight = (at::rand({3'000}) < .8).to(at::kFloat), a = at::randn({41});
  const auto run = [&](at::ScalarType type) {
    const Tensor x = values.to(type).detach().requires_grad_();
    const SegmentLogprob s = segment_logprob(x, row, 41, weight);
    const Tensor g =
        torch::autograd::grad({(s.sum * a.to(type) + s.mean.exp() * a.to(type)).sum()}, {x})[0];
    return std::vector<Tensor>{s.sum.detach(), s.mean.detach(), s.weight, g};
  };
  const auto found = run(at::kFloat), expected = run(at::kDouble);
  for (size_t i = 0; i < 4; ++i)
    EXPECT_TRUE(at::allclose(found[i].to(at::kDouble), expected[i], 1e-6, 1e-6)) << i;
}

TEST(SegmentLogprob, DeadTokensChangeNoBitAndGetNoGradient) {
  const Tensor values = at::randn({9}), row = ids({0, 0, 1, 1, 1, 1, 2, 2, 2});
  const SegmentLogprob expected = segment_logprob(values, row, 3);
  Tensor padded = at::full({12}, kNaN, at::kFloat), padded_row = at::ones({12}, at::kLong),
         weight = at::zeros({12});
  const Tensor at = ids({0, 1, 3, 4, 5, 7, 8, 9, 11});
  padded.index_copy_(0, at, values);
  padded_row.index_copy_(0, at, row);
  weight.index_fill_(0, at, 1);
  padded.requires_grad_();
  const SegmentLogprob found = segment_logprob(padded, padded_row, 3, weight);
  EXPECT_TRUE(found.sum.equal(expected.sum) && found.mean.equal(expected.mean));
  (found.sum.sum() + found.mean.sum()).backward();
  EXPECT_TRUE(padded.grad().isfinite().all().item<bool>());
  EXPECT_EQ(padded.grad()[2].item<double>(), 0);
}

TEST(SegmentLogprob, ALongSequenceKeepsItsDigits) {
  // 100,000 times 0.1: float32 sums alone would be off by 1e-3.
  const Tensor values = at::full({100'000}, 0.1f);
  const Tensor sum = segment_logprob(values, at::zeros({100'000}, at::kLong), 1).sum;
  EXPECT_NEAR(sum.item<double>() / (100'000 * static_cast<double>(0.1f)), 1, 1e-7);
}

TEST(SegmentLogprob, NothingIsZero) {
  for (const at::ScalarType type : kTypes) {
    const SegmentLogprob s = segment_logprob(at::empty({0}, type), ids({}), 2);
    EXPECT_TRUE(s.sum.equal(at::zeros({2}, type)) && s.mean.equal(at::zeros({2}, type)));
    EXPECT_EQ(segment_logprob(at::empty({0}, type), ids({}), 0).sum.numel(), 0);
  }
}

TEST(SegmentLogprob, RefusesRowsThatAreNotThere) {
  for (const int64_t wrong : {-1, 2}) {
    EXPECT_NE(test::refusal(Kind::bug,
                            [&] {
                              segment_logprob(at::zeros({2}), ids({0, wrong}), 2);
                            })
                  .find("outside [0, 2)"),
              std::string::npos);
  }
  test::refusal(Kind::bug, [] { segment_logprob(at::zeros({2}), ids({0}), 2); });
}

}  // namespace
}  // namespace guerdon::ops
