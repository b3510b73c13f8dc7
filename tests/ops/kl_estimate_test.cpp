#include "guerdon/ops/kl_estimate.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

#include "guerdon/ops/token_stats.h"
#include "support/errors.h"
#include "support/gradients.h"

namespace guerdon::ops {
namespace {

constexpr KlEstimate kKinds[] = {KlEstimate::k1, KlEstimate::k2, KlEstimate::k3, KlEstimate::abs,
                                 KlEstimate::k3_straight_through};
constexpr at::ScalarType kTypes[] = {at::kDouble, at::kFloat};

Tensor numbers(const std::vector<double>& values, at::ScalarType type = at::kDouble) {
  return at::tensor(values, at::kDouble).to(type);
}

struct Found {
  double value, gradient;
};
Found at_x(double x, KlEstimate kind, at::ScalarType type, const KlEstimateOptions& options = {}) {
  const Tensor logprob = numbers({x}, type).requires_grad_();
  const Tensor value = kl_estimate(logprob, numbers({0}, type), kind, options);
  value.sum().backward();
  return {value.item<double>(), logprob.grad().item<double>()};
}

TEST(KlEstimate, WorkedByHand) {
  // kernels.md 9: logp = -1.2, logp_ref = -1.5.
  for (const at::ScalarType type : kTypes) {
    const Tensor logprob = numbers({-1.2}, type), reference = numbers({-1.5}, type);
    const auto value = [&](KlEstimate kind) {
      return kl_estimate(logprob, reference, kind).item<double>();
    };
    EXPECT_NEAR(value(KlEstimate::k1), .3, 1e-6);
    EXPECT_NEAR(value(KlEstimate::k2), .045, 1e-6);
    EXPECT_NEAR(value(KlEstimate::k3), .040818, 1e-6);
    EXPECT_NEAR(at_x(.3, KlEstimate::k3, type).gradient, .259182, 1e-6);
  }
}

TEST(KlEstimate, ValuesAndGradients) {
  for (const at::ScalarType type : kTypes) {
    for (const double x : {-3.0, -1.0, -0.3, 0.0, 0.3, 1.0, 7.0}) {
      const auto expect = [&](KlEstimate kind, double value, double gradient) {
        const Found found = at_x(x, kind, type);
        EXPECT_NEAR(found.value, value, 1e-6 * (1 + std::abs(value))) << x;
        EXPECT_NEAR(found.gradient, gradient, 1e-6 * (1 + std::abs(gradient))) << x;
      };
      const double k3 = std::exp(-x) - 1 + x, sign = x > 0 ? 1 : (x < 0 ? -1 : 0);
      expect(KlEstimate::k1, x, 1);
      expect(KlEstimate::k2, x * x / 2, x);
      expect(KlEstimate::k3, k3, 1 - std::exp(-x));
      expect(KlEstimate::abs, std::abs(x), sign);
      expect(KlEstimate::k3_straight_through, k3, x);
    }
  }
}

TEST(KlEstimate, HasTheGradientsOfCentralDifferences) {
  const Tensor logprobs = at::randn({9}, at::kDouble) * 2, reference = at::randn({9}, at::kDouble);
  for (const KlEstimate kind : {KlEstimate::k1, KlEstimate::k2, KlEstimate::k3, KlEstimate::abs}) {
    test::check_gradients(
        [&](const auto& in) { return (kl_estimate(in[0], in[1], kind) * in[2]).sum(); },
        {logprobs, reference, at::randn({9}, at::kDouble)});
  }
}

TEST(KlEstimate, GradientsAreZeroWhereAClampIsActive) {
  for (const at::ScalarType type : kTypes) {
    for (const KlEstimate kind : kKinds) {
      const Found below = at_x(-30, kind, type), above = at_x(30, kind, type);
      EXPECT_EQ(below.gradient, 0);
      EXPECT_EQ(above.gradient, 0);
      EXPECT_EQ(below.value, at_x(-20, kind, type).value);
      EXPECT_EQ(at_x(-3, kind, type, {.max_log_ratio = 2}).value, at_x(-2, kind, type).value);
      const Found capped = at_x(-2.9, kind, type, {.max_value = .5});
      EXPECT_NEAR(std::abs(capped.value), .5, 1e-7);
      EXPECT_EQ(capped.gradient, 0);
    }
  }
}

TEST(KlEstimate, K3KeepsItsDigitsInFloat32) {
  // Against the series in long double; kernels.md F5 asks for 1e-6 relative up to 20.
  double worst = 0, worst_slope = 0;
  for (double size = 1e-6; size < 20; size *= 1.0137) {
    for (const double sign : {-1.0, 1.0}) {
      const auto x = static_cast<float>(sign * size);
      const Found found = at_x(static_cast<double>(x), KlEstimate::k3, at::kFloat);
      const long double r = -static_cast<long double>(x);
      long double exact = std::expm1(r) - r;
      if (std::abs(r) < 1) {
        long double power = r * r / 2;
        exact = 0;
        for (int k = 3; k < 40; ++k) exact += power, power *= r / k;
      }
      worst = std::max(worst, std::abs(found.value / static_cast<double>(exact) - 1));
      worst_slope =
          std::max(worst_slope, std::abs(found.gradient / static_cast<double>(-std::expm1(r)) - 1));
    }
  }
  EXPECT_LE(worst, 1e-6);
  EXPECT_LE(worst_slope, 1e-6);
}

TEST(KlEstimate, OfEqualSidesIsExactlyZero) {
  const Tensor logprobs = -at::rand({37}).requires_grad_() * 5;
  for (const KlEstimate kind : kKinds) {
    const Tensor value = kl_estimate(logprobs, logprobs.detach(), kind);
    EXPECT_EQ(value.abs().max().item<double>(), 0);
    if (kind == KlEstimate::k1) continue;
    const Tensor g = torch::autograd::grad({value.sum()}, {logprobs})[0];
    EXPECT_EQ(g.abs().max().item<double>(), 0);
  }
}

TEST(KlEstimate, NaNAndInfinityStayInTheirTokens) {
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  for (const at::ScalarType type : kTypes) {
    const Tensor logprobs = numbers({nan, -infinity, -1, -1}, type);
    const Tensor reference = numbers({-1, -1, -infinity, -2}, type);
    for (const KlEstimate kind : kKinds) {
      const Tensor value = kl_estimate(logprobs, reference, kind);
      EXPECT_TRUE(value[0].isnan().item<bool>());
      EXPECT_TRUE(value.slice(0, 1).isfinite().all().item<bool>());
    }
  }
}

TEST(KlEstimate, ReferenceGetsTheOppositeGradientWhereItAsks) {
  for (const at::ScalarType type : kTypes) {
    const Tensor logprobs = at::randn({40}, type).requires_grad_(),
                 reference = at::randn({40}, type).requires_grad_();
    kl_estimate(logprobs, reference, KlEstimate::k3).sum().backward();
    EXPECT_TRUE(at::equal(logprobs.grad(), -reference.grad()));
  }
}

TEST(KlEstimate, ATokenDoesNotDependOnItsPlace) {
  const Tensor logprobs = -at::rand({70'001}) * 3, reference = -at::rand({70'001}) * 3;
  for (const KlEstimate kind : kKinds) {
    const Tensor all = kl_estimate(logprobs, reference, kind);
    for (const int64_t begin : {1, 37, 66'000}) {
      EXPECT_TRUE(kl_estimate(logprobs.slice(0, begin, begin + 19),
                              reference.slice(0, begin, begin + 19), kind)
                      .equal(all.slice(0, begin, begin + 19)));
    }
    EXPECT_EQ(kl_estimate(logprobs.slice(0, 0, 0), reference.slice(0, 0, 0), kind).numel(), 0);
  }
}

// T11: with tokens drawn from p, the means of k1 and k3 are KL(p || q).
TEST(KlEstimate, EstimatesTheExactDivergence) {
  at::manual_seed(11);
  constexpr int64_t kDraws = 200'000;
  const Tensor log_p = at::log_softmax(at::randn({50}, at::kDouble), 0),
               log_q = at::log_softmax(at::randn({50}, at::kDouble), 0);
  const double exact = (log_p.exp() * (log_p - log_q)).sum().item<double>();
  const Tensor drawn = at::multinomial(log_p.exp(), kDraws, true);
  const Tensor p = log_p.index_select(0, drawn).to(at::kFloat),
               q = log_q.index_select(0, drawn).to(at::kFloat);
  for (const KlEstimate kind : {KlEstimate::k1, KlEstimate::k3}) {
    const Tensor values = kl_estimate(p, q, kind).to(at::kDouble);
    const double error = values.std().item<double>() / std::sqrt(kDraws);
    EXPECT_NEAR(values.mean().item<double>(), exact, 4 * error);
  }
}

TEST(KlEstimate, RefusesSizesThatDifferAndSecondDerivativesInFloat32) {
  EXPECT_NE(
      test::refusal(Kind::bug, [] { kl_estimate(at::zeros({3}), at::zeros({4}), KlEstimate::k1); })
          .find("[3] and [4]"),
      std::string::npos);
  const Tensor x = at::rand({3}).requires_grad_();
  const Tensor value = kl_estimate(x, at::zeros({3}), KlEstimate::k3);
  test::refusal(Kind::bug, [&] { torch::autograd::grad({value.sum()}, {x}, {}, true, true); });
}

}  // namespace
}  // namespace guerdon::ops
