#include "guerdon/ops/token_stats.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "support/errors.h"
#include "support/gradients.h"

namespace guerdon::ops {
namespace {

const StatsRequest kAll{.entropy = true, .argmax = true, .mean_logit = true, .sum_squares = true};

Tensor row(std::vector<double> values) { return at::tensor(values, at::kDouble).unsqueeze(0); }

/// Logits as a linear form: hidden is the identity's row, the weight holds the logits as a column
/// each.
TokenStats through_linear(const Tensor& logits, const Tensor& tokens,
                          const LogitTransform& transform) {
  return linear_token_stats(at::ones({1, 1}, logits.options()), logits.t(), {}, tokens, transform,
                            kAll);
}

// kernels.md section 9.
TEST(TokenStats, WorkedByHand) {
  const Tensor x = row({2, 1, 0.5, -1}), token = at::tensor({1}, at::kLong);
  for (const TokenStats& s : {token_stats(x, token, {}, kAll), through_linear(x, token, {})}) {
    EXPECT_NEAR(s.lse.item<double>(), 2.495182, 1e-6);
    EXPECT_NEAR(s.logprob.item<double>(), -1.495182, 1e-6);
    EXPECT_NEAR(s.entropy.item<double>(), 1.014403, 1e-6);
    EXPECT_EQ(s.argmax.item<int64_t>(), 0);
    EXPECT_NEAR(s.mean_logit.item<double>(), 0.625, 1e-12);
    EXPECT_NEAR(
        s.sum_squares.item<double>(),
        std::log(.609460 * .609460 + .224208 * .224208 + .135989 * .135989 + .030343 * .030343),
        1e-5);
  }
  const LogitTransform capped{.softcap = 3, .temperature = 0.5};
  for (const TokenStats& s :
       {token_stats(x, token, capped, kAll), through_linear(x, token, capped)}) {
    EXPECT_NEAR(s.lse.item<double>(), 3.754859, 1e-6);
    EXPECT_NEAR(s.logprob.item<double>(), -1.825783, 1e-6);
    EXPECT_NEAR(s.entropy.item<double>(), 0.687105, 1e-6);
  }
}

TEST(TokenStats, GradientsWorkedByHand) {
  const Tensor token = at::tensor({1}, at::kLong);
  Tensor x = row({2, 1, 0.5, -1}).requires_grad_();
  const auto gradient = [&](const Tensor& of) { return torch::autograd::grad({of}, {x})[0]; };
  EXPECT_TRUE(at::allclose(gradient(token_stats(x, token, {}, kAll).logprob.sum()),
                           row({-.609460, .775792, -.135989, -.030343}), 0, 1e-6));
  EXPECT_TRUE(at::allclose(gradient(through_linear(x, token, {}).entropy.sum()),
                           row({-.316444, .107794, .133375, .075275}), 0, 1e-6));
  const LogitTransform capped{.softcap = 3, .temperature = 0.5};
  EXPECT_TRUE(at::allclose(gradient(through_linear(x, token, capped).logprob.sum()),
                           row({-1.020223, 1.504380, -.122638, -.006097}), 0, 1e-6));
}

TEST(TokenStats, BothFormsHaveTheGradientsOfCentralDifferences) {
  const Tensor hidden = at::randn({5, 4}, at::kDouble), weight = at::randn({9, 4}, at::kDouble),
               bias = at::randn({9}, at::kDouble);
  const Tensor tokens = at::tensor({0, 8, 3, 3, 1}, at::kLong), a = at::randn({5}, at::kDouble),
               b = at::randn({5}, at::kDouble);
  for (const auto& transform : std::vector<LogitTransform>{
           {}, {.scale = 0.5, .temperature = 0.7}, {.softcap = 2.0, .temperature = 1.3}}) {
    test::check_gradients(
        [&](const auto& in) {
          const TokenStats s =
              linear_token_stats(in[0], in[1], in[2], tokens, transform, {.entropy = true});
          return (s.logprob * a + s.entropy * b).sum();
        },
        {hidden, weight, bias});
    test::check_gradients(
        [&](const auto& in) {
          const TokenStats s = token_stats(in[0], tokens, transform, {.entropy = true});
          return (s.logprob * a + s.entropy * b).sum();
        },
        {at::randn({5, 9}, at::kDouble)});
  }
}

TEST(LinearTokenStats, DoesNotDependOnTheChunk) {
  const Tensor hidden = at::randn({100, 32}), weight = at::randn({501, 32}),
               tokens = at::randint(0, 501, {100}, at::kLong);
  const auto run = [&](int64_t bytes) {
    std::vector<Tensor> in{hidden.clone().requires_grad_(), weight.clone().requires_grad_()};
    const TokenStats s = linear_token_stats(in[0], in[1], {}, tokens, {}, {.entropy = true}, bytes);
    auto out = torch::autograd::grad({(s.logprob * 0.3 + s.entropy).sum()}, in);
    out.push_back(s.logprob);
    return out;
  };
  const auto small = run(1), large = run(int64_t{1} << 30);
  EXPECT_TRUE(small[2].equal(large[2]));
  for (size_t i = 0; i < 2; ++i)
    EXPECT_LE((small[i] - large[i]).norm().item<double>(), 1e-5 * large[i].norm().item<double>());
}

TEST(LinearTokenStats, HoldsKernelsMdTolerancesInFloat) {
  for (const double sigma : {1.0, 4.0}) {
    const Tensor hidden = at::randn({64, 128}),
                 weight = at::randn({5003, 128}) * (sigma / std::sqrt(128.0)),
                 tokens = at::randint(0, 5003, {64}, at::kLong);
    const TokenStats found = linear_token_stats(hidden, weight, {}, tokens, {}, {.entropy = true});
    const TokenStats expected = token_stats(
        hidden.to(at::kDouble).matmul(weight.to(at::kDouble).t()), tokens, {}, {.entropy = true});
    EXPECT_LE((found.logprob.to(at::kDouble) - expected.logprob).abs().max().item<double>(), 2e-5);
    EXPECT_LE((found.entropy.to(at::kDouble) - expected.entropy).abs().max().item<double>(), 2e-5);
  }
}

TEST(LinearTokenStats, TheKernelsGradientsAgreeWithDouble) {
  for (const auto& transform :
       std::vector<LogitTransform>{{}, {.scale = 0.5, .temperature = 0.7}, {.softcap = 3.0}}) {
    const Tensor hidden = at::randn({37, 64}), weight = at::randn({4099, 64}) * 0.3,
                 bias = at::randn({4099});
    const Tensor tokens = at::randint(0, 4099, {37}, at::kLong), a = at::randn({37}),
                 b = at::randn({37});
    const auto run = [&](at::ScalarType type) {
      std::vector<Tensor> in;
      for (const Tensor& x : {hidden, weight, bias})
        in.push_back(x.to(type).detach().requires_grad_());
      const TokenStats s = linear_token_stats(in[0], in[1], in[2], tokens, transform, kAll);
      auto out =
          torch::autograd::grad({(s.logprob * a.to(type) + s.entropy * b.to(type)).sum()}, in);
      for (const Tensor& x : {s.logprob, s.entropy, s.lse, s.mean_logit, s.sum_squares})
        out.push_back(x.detach());
      EXPECT_TRUE(
          s.argmax.equal(token_stats(at::linear(hidden, weight, bias), tokens, {}, kAll).argmax));
      return out;
    };
    const auto found = run(at::kFloat), expected = run(at::kDouble);
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_LE((found[i].to(at::kDouble) - expected[i]).norm().item<double>(),
                1e-5 * expected[i].norm().item<double>())
          << "output " << i;
    }
  }
}

TEST(LinearTokenStats, ASecondBackwardPassGivesTheSame) {
  std::vector<Tensor> in{at::randn({9, 8}).requires_grad_(), at::randn({21, 8}).requires_grad_()};
  const Tensor loss =
      linear_token_stats(in[0], in[1], {}, at::randint(0, 21, {9}, at::kLong)).logprob.sum();
  const auto first = torch::autograd::grad({loss}, in, {}, true),
             second = torch::autograd::grad({loss}, in);
  EXPECT_TRUE(first[0].equal(second[0]) && first[1].equal(second[1]));
}

TEST(LinearTokenStats, NaNPoisonsItsOwnRowOnly) {
  Tensor hidden = at::randn({5, 8});
  const Tensor weight = at::randn({33, 8}), tokens = at::zeros({5}, at::kLong);
  const Tensor clean = linear_token_stats(hidden, weight, {}, tokens).logprob;
  hidden[2][3] = std::numeric_limits<float>::quiet_NaN();
  const TokenStats s = linear_token_stats(hidden, weight, {}, tokens, {}, {.entropy = true});
  EXPECT_TRUE(std::isnan(s.logprob[2].item<float>()) && std::isnan(s.entropy[2].item<float>()));
  for (const int64_t i : {0, 1, 3, 4})
    EXPECT_EQ(s.logprob[i].item<float>(), clean[i].item<float>());
}

TEST(TokenStats, TakesMaskedLogitsAndEmptyBatches) {
  const double inf = std::numeric_limits<double>::infinity();
  const Tensor token = at::tensor({1}, at::kLong);
  const TokenStats s = token_stats(row({-inf, 1, 1, -inf}), token, {}, kAll);
  EXPECT_NEAR(s.logprob.item<double>(), -std::log(2.0), 1e-12);
  EXPECT_NEAR(s.entropy.item<double>(), std::log(2.0), 1e-12);
  EXPECT_EQ(linear_token_stats(at::zeros({0, 4}), at::zeros({9, 4}), {}, at::zeros({0}, at::kLong))
                .logprob.numel(),
            0);
  EXPECT_NE(test::refusal(Kind::bug,
                          [&] {
                            token_stats(row({1, 2}), at::tensor({2}, at::kLong));
                          })
                .find("outside [0, 2)"),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon::ops
