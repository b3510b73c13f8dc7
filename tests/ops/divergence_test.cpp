#include "guerdon/ops/divergence.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "support/errors.h"
#include "support/gradients.h"

namespace guerdon::ops {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
const std::vector<Divergence> kKinds{Divergence::reverse_kl, Divergence::forward_kl,
                                     Divergence::jsd, Divergence::total_variation};

Tensor row(std::vector<double> values) { return at::tensor(values, at::kDouble).unsqueeze(0); }

// kernels.md section 9.
TEST(Divergence, WorkedByHand) {
  for (const auto type : {at::kDouble, at::kFloat}) {
    const Tensor x = row({2, 1, 0.5, -1}).to(type), w = row({1, 1, 0, 0}).to(type);
    const auto value = [&](Divergence kind, DivergenceOptions options = {}) {
      return divergence(x, w, kind, options).item<double>();
    };
    for (const bool fast : {false, true}) {
      EXPECT_NEAR(value(Divergence::reverse_kl, {.fast = fast}), 0.158338, 1e-6);
      EXPECT_NEAR(value(Divergence::forward_kl, {.fast = fast}), 0.190479, 1e-6);
    }
    EXPECT_NEAR(value(Divergence::total_variation), 0.490898, 1e-6);
    EXPECT_NEAR(value(Divergence::jsd), 0.041738, 1e-6);
    EXPECT_NEAR(value(Divergence::jsd, {.beta = 0.3}), 0.036437, 1e-6);
    // GKD's convention at the ends.
    EXPECT_NEAR(value(Divergence::jsd, {.beta = 0}), 0.190479, 1e-6);
    EXPECT_NEAR(value(Divergence::jsd, {.beta = 1}), 0.158338, 1e-6);
  }
}

TEST(Divergence, HasTheGradientsOfCentralDifferences) {
  const Tensor x = at::randn({3, 7}, at::kDouble), w = at::randn({3, 7}, at::kDouble),
               g = at::randn({3}, at::kDouble);
  const DivergenceOptions options{
      .beta = 0.3, .student = {.softcap = 3.0}, .teacher = {.scale = 0.7}};
  for (const Divergence kind : kKinds) {
    test::check_gradients(
        [&](const auto& in) { return (divergence(in[0], in[1], kind, options) * g).sum(); },
        {x, w});
  }
}

/// Value and gradients by kernel against the composed form in float64, of the same rounded inputs.
void compare(const Tensor& x, const Tensor& w, Divergence kind, const DivergenceOptions& options) {
  const Tensor g = at::randn({x.size(0)});
  const bool both = kind == Divergence::reverse_kl || kind == Divergence::forward_kl;
  const auto run = [&](bool wide) {
    Tensor a = (wide ? x.to(at::kDouble) : x).detach().clone().requires_grad_();
    Tensor b = (wide ? w.to(at::kDouble) : w).detach().clone().requires_grad_(both);
    const Tensor value = divergence(a, b, kind, options);
    std::vector<Tensor> in{a};
    if (both) in.push_back(b);
    auto out = torch::autograd::grad({(value * g.to(value.scalar_type())).sum()}, in);
    out.push_back(value.detach());
    for (Tensor& t : out) t = t.to(at::kDouble);
    return out;
  };
  const auto found = run(false), expected = run(true);
  const auto log_p = [](const Tensor& x, const LogitTransform& t) {
    Tensor z = x.to(at::kDouble) * t.scale;
    if (t.softcap > 0) z = at::tanh(z / t.softcap) * t.softcap;
    return (z / t.temperature).log_softmax(-1);
  };
  const Tensor log_ratio = log_p(x, options.student) - log_p(w, options.teacher);
  const Tensor error = (found.back() - expected.back()).abs();
  const double absolute = options.fast || kind == Divergence::total_variation ? 5e-6 : 1e-9;
  EXPECT_TRUE((error <= absolute + 2e-4 * expected.back().abs()).all().item<bool>())
      << error.max().item<double>() << " of " << expected.back().max().item<double>();
  for (size_t i = 0; i + 1 < found.size(); ++i) {
    const bool low = (i == 0 ? x : w).scalar_type() != at::kFloat;
    const double unit = low ? 1.0 / 128 : 1e-4, least = low ? 1e-5 : 3e-6;
    // Where p and q are equal to rounding, the sign in total variation's gradient is arbitrary, and
    // the whole row feels it.
    const Tensor free =
        (log_ratio.abs() < 2e-6).any(-1, true) & (kind == Divergence::total_variation);
    EXPECT_TRUE((free | ((found[i] - expected[i]).abs() <= least + unit * expected[i].abs()))
                    .all()
                    .item<bool>())
        << "kind " << static_cast<int>(kind) << ", gradient " << i << " is off by "
        << (found[i] - expected[i]).abs().max().item<double>();
  }
}

// T1.
TEST(Divergence, TheKernelHoldsKernelsMdTolerances) {
  for (const int64_t columns : {1, 2, 9, 33, 1000, 1025, 4095, 4097, 8193, 50257}) {
    for (const double apart : {1.0, 0.01}) {
      const Tensor x = at::randn({4, columns}) * 2, w = x + apart * at::randn({4, columns});
      for (const Divergence kind : kKinds) {
        SCOPED_TRACE(columns);
        compare(x, w, kind, {.beta = 0.3});
        compare(x.to(at::kBFloat16), w, kind, {.beta = 0.5, .student = {.softcap = 8.0}});
        compare(x, w.to(at::kHalf), kind, {.teacher = {.scale = 0.5, .temperature = 0.9}});
        compare(x, w, kind, {.fast = true});
      }
    }
  }
}

// T7.
TEST(Divergence, OfEqualInputsIsExactlyNothing) {
  for (const int64_t columns : {5, 9001}) {
    const Tensor x = at::randn({6, columns}) * 3;
    for (const Divergence kind : kKinds) {
      for (const bool fast : {false, true}) {
        Tensor a = x.clone().requires_grad_();
        const Tensor value = divergence(a, x, kind, {.fast = fast});
        EXPECT_EQ(value.abs().max().item<float>(), 0);
        EXPECT_LE(torch::autograd::grad({value.sum()}, {a})[0].abs().max().item<float>(), 1e-7);
      }
    }
  }
}

TEST(Divergence, AZeroOfTheOtherSideIsInfiniteButSendsNoNaN) {
  const Tensor x = at::randn({2, 5000});
  Tensor w = x.clone();
  w[0][7] = -kInf;
  Tensor a = x.clone().requires_grad_();
  for (const bool fast : {false, true}) {
    const Tensor value = divergence(a, w, Divergence::reverse_kl, {.fast = fast});
    EXPECT_EQ(value[0].item<double>(), kInf);
    EXPECT_EQ(value[1].item<double>(), 0);
    EXPECT_TRUE(torch::autograd::grad({value.sum()}, {a})[0].isfinite().all().item<bool>());
    // Turned round, the column contributes nothing.
    const Tensor forward = divergence(a, w, Divergence::forward_kl, {.fast = fast});
    EXPECT_TRUE(forward.isfinite().all().item<bool>());
    EXPECT_NEAR(
        forward[0].item<double>(),
        divergence(x.to(at::kDouble), w.to(at::kDouble), Divergence::forward_kl)[0].item<double>(),
        1e-6);
  }
}

TEST(Divergence, DeadRowsAreZeroAndNaNStaysInItsRow) {
  Tensor x = at::randn({4, 3000});
  const Tensor w = at::randn({4, 3000}), mask = at::tensor({1, 0, 1, 1}, at::kByte);
  x[1].fill_(std::numeric_limits<double>::quiet_NaN());
  x[2][17] = std::numeric_limits<double>::quiet_NaN();
  for (const Divergence kind : kKinds) {
    Tensor a = x.clone().requires_grad_();
    const Tensor value = divergence(a, w, kind, {}, mask);
    EXPECT_EQ(value[1].item<float>(), 0);
    EXPECT_TRUE(std::isnan(value[2].item<float>()));
    EXPECT_TRUE(std::isfinite(value[0].item<float>()) && std::isfinite(value[3].item<float>()));
    const Tensor g = torch::autograd::grad({value[0] + value[1] + value[3]}, {a})[0];
    EXPECT_EQ(g[1].abs().sum().item<float>(), 0);
    EXPECT_TRUE(g[0].isfinite().all().item<bool>());
  }
}

// T8.
TEST(Divergence, ARowDoesNotDependOnTheOthersNorOnThreads) {
  const Tensor x = at::randn({40, 9000}), w = at::randn({40, 9000});
  const int threads = at::get_num_threads();
  for (const Divergence kind : kKinds) {
    for (const bool fast : {false, true}) {
      const Tensor many = divergence(x, w, kind, {.fast = fast});
      for (const int count : {1, 3}) {
        at::set_num_threads(count);
        const Tensor one = divergence(x.narrow(0, 7, 1), w.narrow(0, 7, 1), kind, {.fast = fast});
        EXPECT_EQ(one[0].item<float>(), many[7].item<float>());
      }
      at::set_num_threads(threads);
    }
  }
}

// T11: tokens drawn from p; the mean of log p - log q and of the k3 form are KL(p || q).
TEST(Divergence, IsTheMeanOfItsSampledEstimates) {
  const Tensor x = at::randn({1, 50}, at::kDouble), w = x + 0.5 * at::randn({1, 50}, at::kDouble);
  const int64_t n = 200000;
  const Tensor draws = at::multinomial(x.softmax(-1).expand({1, 50}), n, true).squeeze(0);
  const Tensor log_ratio =
      (x.log_softmax(-1) - w.log_softmax(-1)).squeeze(0).index_select(0, draws);
  const double exact = divergence(x, w, Divergence::reverse_kl).item<double>();
  for (const Tensor& estimate : {log_ratio, at::expm1(-log_ratio) + log_ratio}) {
    const double error = estimate.std().item<double>() / std::sqrt(static_cast<double>(n));
    EXPECT_NEAR(estimate.mean().item<double>(), exact, 4 * error);
  }
}

TEST(CombinedKl, IsTheKlToTheCombinedTeacher) {
  const Tensor x = at::randn({5, 4100}), one = at::randn({5, 4100}), two = at::randn({5, 4100});
  const Tensor c1 = at::tensor({1.0f, 0.5f, 0.0f, 2.0f, -1.0f}),
               c2 = at::tensor({0.0f, 0.5f, 1.0f, -1.0f, 1.0f});
  Tensor a = x.clone().requires_grad_(), b = x.to(at::kDouble).requires_grad_();
  const Tensor found = combined_kl(a, one, two, c1, c2);
  const Tensor expected =
      divergence(b, (one.to(at::kDouble) * c1.unsqueeze(1) + two.to(at::kDouble) * c2.unsqueeze(1)),
                 Divergence::reverse_kl);
  EXPECT_TRUE(at::allclose(found.to(at::kDouble), expected, 2e-4, 1e-9));
  EXPECT_TRUE(at::allclose(torch::autograd::grad({found.sum()}, {a})[0].to(at::kDouble),
                           torch::autograd::grad({expected.sum()}, {b})[0], 1e-4, 3e-6));
  EXPECT_NEAR(combined_kl(x, x, two, at::ones({5}), at::zeros({5})).abs().max().item<double>(), 0,
              0);
}

TEST(LinearDivergence, EqualsTheUnfusedFormForEveryChunk) {
  const Tensor hidden = at::randn({70, 24}), weight = at::randn({5003, 24}) * 0.3,
               bias = at::randn({5003});
  const Head teacher{at::randn({70, 16}), at::randn({5003, 16}) * 0.3},
      other{at::randn({70, 8}), at::randn({5003, 8}) * 0.3};
  const Tensor mask = at::ones({70}, at::kBool), g = at::randn({70});
  mask[3] = false;
  const Tensor c1 = at::rand({70}), c2 = at::rand({70});
  const auto logits = [](const Head& head) { return at::linear(head.hidden, head.weight); };
  const auto run = [&](int kind, int64_t bytes) {
    std::vector<Tensor> in{hidden.clone().requires_grad_(), weight.clone().requires_grad_(),
                           bias.clone().requires_grad_()};
    const Head student{in[0], in[1], in[2]};
    const DivergenceOptions options{.beta = 0.3};
    Tensor value;
    if (bytes == 0) {
      const Tensor z = at::linear(in[0], in[1], in[2]);
      value = kind == 4 ? combined_kl(z, logits(teacher), logits(other), c1, c2, options, mask)
                        : divergence(z, logits(teacher), kKinds[static_cast<size_t>(kind)], options,
                                     mask);
    } else {
      value = kind == 4 ? linear_combined_kl(student, teacher, other, c1, c2, options, mask,
                                             {.workspace_bytes = bytes})
                        : linear_divergence(student, teacher, kKinds[static_cast<size_t>(kind)],
                                            options, mask, {.workspace_bytes = bytes});
    }
    auto out = torch::autograd::grad({(value * g).sum()}, in);
    out.push_back(value.detach());
    return out;
  };
  for (int kind = 0; kind < 5; ++kind) {
    const auto expected = run(kind, 0);
    for (const int64_t bytes : {int64_t{1}, int64_t{1} << 30}) {
      const auto found = run(kind, bytes);
      for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_LE((found[i] - expected[i]).norm().item<double>(),
                  1e-5 * expected[i].norm().item<double>())
            << "kind " << kind << ", " << bytes << " bytes, output " << i;
      }
    }
  }
}

TEST(LinearDivergence, RefusesASecondBackwardPassOverLogitsThatAreGone) {
  const Tensor hidden = at::randn({9, 6}).requires_grad_();
  const Tensor value =
      linear_divergence({hidden, at::randn({50, 6})}, {at::randn({9, 4}), at::randn({50, 4})},
                        Divergence::reverse_kl);
  torch::autograd::grad({value.sum()}, {hidden}, {}, true);
  EXPECT_NE(test::refusal(Kind::bug, [&] { torch::autograd::grad({value.sum()}, {hidden}); })
                .find("second backward pass"),
            std::string::npos);
}

TEST(Divergence, RefusesWidthsThatDiffer) {
  const Tensor x = at::randn({2, 5}), w = at::randn({2, 6});
  EXPECT_NE(test::refusal(Kind::bug, [&] { divergence(x, w, Divergence::jsd); }).find("differ"),
            std::string::npos);
  EXPECT_TRUE(divergence(x, w, Divergence::jsd, {.truncate_vocabulary = true})
                  .equal(divergence(x, w.narrow(1, 0, 5), Divergence::jsd)));
}

TEST(Divergence, RefusesSecondDerivativesButInDouble) {
  const auto twice = [](at::ScalarType type) {
    const Tensor x = at::randn({2, 5}, type).requires_grad_();
    const Tensor kl = divergence(x, at::randn({2, 5}, type), Divergence::reverse_kl).sum();
    const Tensor g = torch::autograd::grad({kl}, {x}, {}, true, true)[0];
    return torch::autograd::grad({g.square().sum()}, {x})[0];
  };
  EXPECT_GT(twice(at::kDouble).abs().sum().item<double>(), 0);
  EXPECT_NE(test::refusal(Kind::bug, [&] { twice(at::kFloat); }).find("second derivative"),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon::ops
