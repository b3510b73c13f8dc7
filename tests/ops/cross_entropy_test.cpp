#include "guerdon/ops/cross_entropy.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "support/errors.h"
#include "support/gradients.h"

namespace guerdon::ops {
namespace {

const Tensor kTokens = at::tensor({0, 8, 3, -100, 1}, at::kLong);

/// LibTorch's own.
Tensor plain(const Tensor& logits, double smoothing) {
  return at::cross_entropy_loss(logits, kTokens, {}, at::Reduction::Mean, -100, smoothing);
}

TEST(CrossEntropy, IsLibTorchsWithAndWithoutSmoothing) {
  for (const auto type : {at::kFloat, at::kDouble}) {
    const Tensor logits = at::randn({5, 9}, type);
    for (const double smoothing : {0.0, 0.1}) {
      const CrossEntropyOptions options{.label_smoothing = smoothing};
      Tensor a = logits.clone().requires_grad_(), b = logits.clone().requires_grad_();
      const Tensor found = cross_entropy(a, kTokens, options), expected = plain(b, smoothing);
      EXPECT_NEAR(found.item<double>(), expected.item<double>(), 1e-6);
      EXPECT_TRUE(at::allclose(torch::autograd::grad({found}, {a})[0],
                               torch::autograd::grad({expected}, {b})[0], 1e-5, 1e-7));
    }
  }
}

TEST(CrossEntropy, ReductionsDivideByWhatTheySay) {
  const Tensor logits = at::randn({5, 9}, at::kDouble);
  const Tensor weights = at::tensor({1.0, 2.0, 0.5, 9.0, 0.0}, at::kDouble);
  const auto with = [&](LossReduction reduction, std::optional<double> denominator = {}) {
    return cross_entropy(logits, kTokens,
                         {.reduction = reduction, .weights = weights, .denominator = denominator});
  };
  const Tensor rows = with(LossReduction::none);
  EXPECT_EQ(rows[3].item<double>(), 0);
  const double sum = rows.sum().item<double>();
  EXPECT_NEAR(with(LossReduction::sum).item<double>(), sum, 1e-12);
  EXPECT_NEAR(with(LossReduction::mean_tokens).item<double>(), sum / 4, 1e-12);
  EXPECT_NEAR(with(LossReduction::mean_weighted).item<double>(), sum / 3.5, 1e-12);
  EXPECT_NEAR(with(LossReduction::mean_tokens, 100.0).item<double>(), sum / 100, 1e-12);
}

TEST(CrossEntropy, DftWeighsEachRowByItsOwnProbability) {
  const Tensor logits = at::randn({5, 9}, at::kDouble);
  const Tensor loss = cross_entropy(logits, kTokens, {.reduction = LossReduction::none});
  const Tensor dft =
      cross_entropy(logits, kTokens, {.dft = true, .reduction = LossReduction::none});
  EXPECT_TRUE(at::allclose(dft, loss * (-loss).exp(), 0, 1e-12));
}

TEST(CrossEntropy, NoLiveRowIsNoLossAndNoGradient) {
  Tensor logits = at::randn({2, 9}).requires_grad_();
  const Tensor loss = cross_entropy(logits, at::full({2}, -100, at::kLong));
  EXPECT_EQ(loss.item<float>(), 0);
  EXPECT_EQ(torch::autograd::grad({loss}, {logits})[0].abs().sum().item<float>(), 0);
}

TEST(LinearCrossEntropy, HasTheGradientsOfCentralDifferences) {
  const Tensor hidden = at::randn({5, 4}, at::kDouble), weight = at::randn({9, 4}, at::kDouble),
               bias = at::randn({9}, at::kDouble);
  for (const double smoothing : {0.0, 0.2}) {
    test::check_gradients(
        [&](const auto& in) {
          return 3.0 * linear_cross_entropy(in[0], in[1], in[2], kTokens,
                                            {.label_smoothing = smoothing}, {.softcap = 3.0});
        },
        {hidden, weight, bias});
  }
}

// T13.
TEST(LinearCrossEntropy, EqualsTheUnfusedFormForEveryChunk) {
  const Tensor tokens = at::randint(0, 4999, {77}, at::kLong);
  tokens[5] = -100;
  const Tensor hidden = at::randn({77, 32}), weight = at::randn({4999, 32}),
               bias = at::randn({4999});
  const Tensor weights = at::rand({77});
  for (const bool dft : {false, true}) {
    const CrossEntropyOptions options{.label_smoothing = dft ? 0.0 : 0.1,
                                      .dft = dft,
                                      .reduction = LossReduction::mean_weighted,
                                      .weights = weights};
    const auto run = [&](int64_t bytes) {
      std::vector<Tensor> in{hidden.clone().requires_grad_(), weight.clone().requires_grad_(),
                             bias.clone().requires_grad_()};
      const Tensor loss = bytes == 0
                              ? cross_entropy(at::linear(in[0], in[1], in[2]), tokens, options)
                              : linear_cross_entropy(in[0], in[1], in[2], tokens, options, {}, {},
                                                     {.workspace_bytes = bytes});
      auto out = torch::autograd::grad({loss * 0.7}, in);
      out.push_back(loss.detach());
      return out;
    };
    const auto expected = run(0);
    for (const int64_t bytes : {int64_t{1}, int64_t{1} << 19, int64_t{1} << 30}) {
      const auto found = run(bytes);
      for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_LE((found[i] - expected[i]).norm().item<double>(),
                  1e-5 * expected[i].norm().item<double>())
            << bytes << " bytes, output " << i;
      }
    }
  }
}

TEST(LinearCrossEntropy, ComputesNoGradientThatNobodyWants) {
  const Tensor weight = at::randn({9, 4});
  Tensor hidden = at::randn({5, 4}).requires_grad_();
  linear_cross_entropy(hidden, weight, {}, kTokens).backward();
  EXPECT_TRUE(hidden.grad().defined());
  EXPECT_FALSE(linear_cross_entropy(hidden.detach(), weight, {}, kTokens).requires_grad());
}

TEST(CrossEntropy, RefusesSmoothingOutOfRange) {
  EXPECT_NE(test::refusal(Kind::bug,
                          [&] {
                            cross_entropy(at::zeros({5, 9}), kTokens, {.label_smoothing = 1.0});
                          })
                .find("label_smoothing"),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon::ops
