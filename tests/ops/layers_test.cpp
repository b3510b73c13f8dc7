#include "guerdon/ops/layers.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

#include "support/errors.h"
#include "support/gradients.h"

namespace guerdon::ops {
namespace {

Tensor random_double(at::IntArrayRef sizes) { return at::randn(sizes, at::kDouble); }

TEST(RmsNorm, IsItsFormula) {
  const Tensor x = at::randn({5, 96}), weight = at::randn({96});
  const Tensor wide = x.to(at::kDouble);
  const Tensor expected =
      wide / (wide.square().mean(-1, true) + 1e-6).sqrt() * (weight.to(at::kDouble) + 1.0);
  EXPECT_TRUE(at::allclose(rms_norm(x, weight, 1e-6, 1.0).to(at::kDouble), expected, 1e-6, 1e-6));
}

TEST(RmsNorm, HasTheGradientsOfCentralDifferences) {
  const Tensor seed = random_double({4, 7});
  for (const double offset : {0.0, 1.0}) {
    test::check_gradients(
        [&](const auto& in) { return (rms_norm(in[0], in[1], 1e-5, offset) * seed).sum(); },
        {random_double({4, 7}), random_double({7})});
  }
}

TEST(RmsNorm, FloatGradientsAgreeWithDouble) {
  const Tensor x = at::randn({33, 96}), weight = at::randn({96}), seed = at::randn({33, 96});
  const auto run = [&](at::ScalarType type) {
    std::vector<Tensor> in{x.to(type).detach().requires_grad_(),
                           weight.to(type).detach().requires_grad_()};
    return torch::autograd::grad({(rms_norm(in[0], in[1], 1e-6) * seed.to(type)).sum()}, in);
  };
  const auto found = run(at::kFloat), expected = run(at::kDouble);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_LE((found[i].to(at::kDouble) - expected[i]).norm().item<double>(),
              1e-6 * expected[i].norm().item<double>());
  }
}

TEST(Rope, RotatesAsTwoHalvesOrAsPairs) {
  const Tensor x = at::tensor({1.0, 2.0, 3.0, 4.0}, at::kFloat).reshape({1, 1, 4});
  const Tensor angle = at::tensor({0.5, 2.0}, at::kFloat).reshape({1, 2});
  const double c0 = std::cos(0.5), s0 = std::sin(0.5), c1 = std::cos(2.0), s1 = std::sin(2.0);
  const Tensor halves =
      at::tensor({1 * c0 - 3 * s0, 2 * c1 - 4 * s1, 3 * c0 + 1 * s0, 4 * c1 + 2 * s1}, at::kFloat);
  const Tensor pairs =
      at::tensor({1 * c0 - 2 * s0, 2 * c0 + 1 * s0, 3 * c1 - 4 * s1, 4 * c1 + 3 * s1}, at::kFloat);
  EXPECT_TRUE(at::allclose(rope(x, angle.cos(), angle.sin()).flatten(), halves, 1e-6, 1e-6));
  EXPECT_TRUE(at::allclose(rope(x, angle.cos(), angle.sin(), true).flatten(), pairs, 1e-6, 1e-6));
}

TEST(Rope, LeavesTheRestAloneAndHasTheRightGradients) {
  const Tensor x = random_double({3, 2, 6}), angle = at::randn({3, 2}),
               seed = random_double({3, 2, 6});
  for (const bool interleaved : {false, true}) {
    EXPECT_TRUE(rope(x, angle.cos(), angle.sin(), interleaved).slice(2, 4).equal(x.slice(2, 4)));
    test::check_gradients(
        [&](const auto& in) {
          return (rope(in[0], angle.cos(), angle.sin(), interleaved) * seed).sum();
        },
        {x}, 1e-6);
  }
}

TEST(Swiglu, IsItsFormulaWithItsGradients) {
  const Tensor gate = random_double({5, 6}), up = random_double({5, 6}),
               seed = random_double({5, 6});
  EXPECT_TRUE(at::allclose(swiglu(gate, up), gate / (1 + (-gate).exp()) * up, 1e-12, 1e-12));
  test::check_gradients([&](const auto& in) { return (swiglu(in[0], in[1]) * seed).sum(); },
                        {gate, up});
  const Tensor g = at::randn({40, 50}) * 10, u = at::randn({40, 50});
  EXPECT_TRUE(at::allclose(swiglu(g, u).to(at::kDouble),
                           swiglu(g.to(at::kDouble), u.to(at::kDouble)), 1e-6, 1e-6));
}

TEST(Layers, FloatGradientsAgreeWithDouble) {
  const Tensor x = at::randn({70, 3, 20}), angle = at::randn({70, 8}),
               gate = at::randn({70, 33}) * 4, up = at::randn({70, 33});
  const Tensor seed = at::randn({70, 3, 20}), seed2 = at::randn({70, 33});
  const auto run = [&](at::ScalarType type) {
    std::vector<Tensor> in;
    for (const Tensor& t : {x, gate, up}) in.push_back(t.to(type).detach().requires_grad_());
    const Tensor wide = angle.to(at::kDouble);
    const Tensor rotated = rope(in[0], wide.cos().to(at::kFloat), wide.sin().to(at::kFloat));
    auto out = torch::autograd::grad(
        {(rotated * seed.to(type)).sum() + (swiglu(in[1], in[2]) * seed2.to(type)).sum()}, in);
    out.push_back(rotated.detach());
    return out;
  };
  const auto found = run(at::kFloat), expected = run(at::kDouble);
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_LE((found[i].to(at::kDouble) - expected[i]).norm().item<double>(),
              1e-6 * expected[i].norm().item<double>())
        << "output " << i;
  }
}

TEST(AddRmsNorm, IsTheSumAndItsNorm) {
  const Tensor x = at::randn({5, 96}), residual = at::randn({5, 96}), weight = at::randn({96});
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
    const Tensor a = x.to(type), b = residual.to(type);
    const AddedNorm out = add_rms_norm(a, b, weight, 1e-6, 1.0);
    EXPECT_TRUE(out.sum.equal(a + b));
    EXPECT_TRUE(out.norm.equal(rms_norm(a + b, weight, 1e-6, 1.0)));
    EXPECT_EQ(out.norm.scalar_type(), type);
  }
}

TEST(AddRmsNorm, HasTheGradientsOfCentralDifferences) {
  const Tensor a = random_double({4, 7}), b = random_double({4, 7});
  test::check_gradients(
      [&](const auto& in) {
        const AddedNorm out = add_rms_norm(in[0], in[1], in[2], 1e-5);
        return (out.norm * a + out.sum * b).sum();
      },
      {random_double({4, 7}), random_double({4, 7}), random_double({7})});
}

TEST(AddRmsNorm, GivesTheGradientsOfAddingFirst) {
  const Tensor seed = at::randn({300, 40}), seed2 = at::randn({300, 40});
  const auto run = [&](bool fused) {
    at::manual_seed(4);
    std::vector<Tensor> in{at::randn({300, 40}), at::randn({300, 40}), at::randn({40})};
    for (Tensor& t : in) t.requires_grad_();
    const Tensor sum = in[0] + in[1];
    const AddedNorm out = fused ? add_rms_norm(in[0], in[1], in[2], 1e-6)
                                : AddedNorm{sum, rms_norm(sum, in[2], 1e-6)};
    return torch::autograd::grad({(out.norm * seed + out.sum.square() * seed2).sum()}, in);
  };
  const auto found = run(true), expected = run(false);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(at::allclose(found[i], expected[i], 1e-6, 1e-6)) << i;
}

TEST(Geglu, IsItsFormulaWithItsGradients) {
  const Tensor gate = random_double({5, 6}), up = random_double({5, 6}),
               seed = random_double({5, 6});
  const Tensor u = std::sqrt(2 / M_PI) * (gate + 0.044715 * gate.pow(3));
  EXPECT_TRUE(at::allclose(geglu(gate, up), gate * (1 + u.tanh()) / 2 * up, 1e-12, 1e-12));
  test::check_gradients([&](const auto& in) { return (geglu(in[0], in[1]) * seed).sum(); },
                        {gate, up});
}

/// Values and gradients of a gated unit, in float64 from numbers of `type`.
std::vector<Tensor> run_gated(bool gelu, const Tensor& gate, const Tensor& up, const Tensor& seed,
                              at::ScalarType type) {
  std::vector<Tensor> in{gate.to(type).detach().requires_grad_(),
                         up.to(type).detach().requires_grad_()};
  const Tensor out = gelu ? geglu(in[0], in[1]) : swiglu(in[0], in[1]);
  std::vector<Tensor> all = torch::autograd::grad({(out * seed.to(type)).sum()}, in);
  all.push_back(out.detach());
  for (Tensor& t : all) t = t.to(at::kDouble);
  return all;
}

TEST(Gated, OfEveryTypeAgreesWithDouble) {
  // Half precision numbers throughout, so that every type starts from the same.
  const auto halves = [](const Tensor& x) { return x.to(at::kBFloat16).to(at::kHalf); };
  const Tensor gate = halves(at::randn({70, 33}) * 4), up = halves(at::randn({70, 33})),
               seed = halves(at::randn({70, 33}));
  for (const bool gelu : {false, true}) {
    const auto expected = run_gated(gelu, gate, up, seed, at::kDouble);
    for (const auto& [type, tolerance] : {std::pair(at::kFloat, 1e-6), std::pair(at::kHalf, 1e-3),
                                          std::pair(at::kBFloat16, 5e-3)}) {
      const auto found = run_gated(gelu, gate, up, seed, type);
      for (size_t i = 0; i < 3; ++i) {
        // One unit in the last place of the rounded value.
        EXPECT_TRUE(at::allclose(found[i], expected[i], tolerance, 2e-6)) << type << ", " << i;
      }
    }
  }
}

TEST(Gated, LargeNumbersStayFinite) {
  const Tensor gate = at::tensor({-1e30, -100.0, 0.0, 100.0, 1e30}, at::kFloat),
               one = at::ones({5});
  for (const bool gelu : {false, true}) {
    const auto all = run_gated(gelu, gate, one, one, at::kFloat);
    for (const Tensor& t : all) EXPECT_TRUE(t.isfinite().all().item<bool>());
    EXPECT_TRUE(at::allclose(all[2], at::tensor({0.0, 0.0, 0.0, 100.0, 1e30}, at::kDouble), 1e-6));
    EXPECT_TRUE(at::allclose(all[0], at::tensor({0.0, 0.0, 0.5, 1.0, 1.0}, at::kDouble), 1e-6));
  }
}

TEST(Layers, HalfPrecisionIsRoundedOnce) {
  const Tensor x = at::randn({70, 3, 20}), angle = at::randn({70, 8}), weight = at::randn({20});
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const Tensor stored = x.to(type), wide = stored.to(at::kDouble);
    const auto rounded_once = [&](const Tensor& found, const Tensor& exact) {
      ASSERT_EQ(found.scalar_type(), type);
      const Tensor rounded = exact.to(type).to(at::kDouble);
      const double unit = type == at::kHalf ? 1.0 / 1024 : 1.0 / 128;
      EXPECT_TRUE(at::allclose(found.to(at::kDouble), rounded, unit, 1e-6));
      // Nearly all are the correctly rounded value itself.
      EXPECT_GT((found.to(at::kDouble) == rounded).to(at::kDouble).mean().item<double>(), .99);
    };
    rounded_once(rms_norm(stored, weight, 1e-6), rms_norm(wide, weight.to(at::kDouble), 1e-6));
    rounded_once(rope(stored, angle.cos(), angle.sin()),
                 rope(wide, angle.to(at::kDouble).cos(), angle.to(at::kDouble).sin()));
  }
}

TEST(Layers, HalfPrecisionGradientsAgreeWithDouble) {
  const Tensor x = at::randn({70, 40}), residual = at::randn({70, 40}), weight = at::randn({40}),
               seed = at::randn({70, 40}), seed2 = at::randn({70, 40});
  const auto run = [&](at::ScalarType type, at::ScalarType of_weight) {
    const auto stored = [&](const Tensor& t) { return t.to(at::kBFloat16).to(type); };
    std::vector<Tensor> in{stored(x).requires_grad_(), stored(residual).requires_grad_(),
                           weight.to(of_weight).detach().requires_grad_()};
    const AddedNorm out = add_rms_norm(in[0], in[1], in[2], 1e-6);
    return torch::autograd::grad({(out.norm * stored(seed) + out.sum * stored(seed2)).sum()}, in);
  };
  const auto expected = run(at::kDouble, at::kDouble), found = run(at::kBFloat16, at::kFloat);
  for (size_t i = 0; i < 3; ++i) {
    const Tensor d = found[i].to(at::kDouble);
    EXPECT_LE((d - expected[i]).norm().item<double>(), 5e-3 * expected[i].norm().item<double>());
    EXPECT_GE((d * expected[i]).sum().item<double>(),
              .99999 * d.norm().item<double>() * expected[i].norm().item<double>());
  }
}

TEST(Layers, ARowDependsOnItselfAloneOnAnyNumberOfThreads) {
  const Tensor x = at::randn({700, 72}), residual = at::randn({700, 72}), weight = at::randn({72});
  const auto run = [&](int threads, int64_t begin, int64_t end) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    const Tensor a = x.slice(0, begin, end).detach().requires_grad_();
    const Tensor w = weight.detach().requires_grad_();
    const AddedNorm out = add_rms_norm(a, residual.slice(0, begin, end), w, 1e-6);
    const Tensor y = geglu(out.norm, swiglu(out.sum, out.norm));
    auto all = torch::autograd::grad({y.square().sum()}, {a, w});
    all.push_back(y.detach());
    at::set_num_threads(before);
    return all;
  };
  const auto one = run(1, 0, 700);
  for (const int threads : {1, 2, 5}) {
    const auto other = run(threads, 0, 700);
    for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(other[i].equal(one[i])) << i;
  }
  const auto part = run(2, 13, 14);
  EXPECT_TRUE(part[0].equal(one[0].slice(0, 13, 14)) && part[2].equal(one[2].slice(0, 13, 14)));
}

TEST(Layers, NaNStaysInItsRow) {
  Tensor x = at::randn({4, 33});
  x[1][32] = std::numeric_limits<double>::quiet_NaN();
  const AddedNorm out = add_rms_norm(x, at::randn({4, 33}), at::ones({33}), 1e-6);
  const Tensor bad = out.norm.isnan();
  EXPECT_TRUE(bad[1].all().item<bool>());
  EXPECT_FALSE(bad.slice(0, 2).any().item<bool>() || bad[0].any().item<bool>());
  EXPECT_TRUE(swiglu(x, x)[1][32].isnan().item<bool>() && geglu(x, x)[1][32].isnan().item<bool>());
}

TEST(Layers, RefuseWhatDoesNotFitAndSecondDerivatives) {
  const Tensor x = at::rand({2, 3}).requires_grad_();
  test::refusal(Kind::bug, [&] { rms_norm(x, at::ones({4}), 1e-6); });
  test::refusal(Kind::bug, [&] { add_rms_norm(x, at::ones({3, 3}), at::ones({3}), 1e-6); });
  test::refusal(Kind::bug, [&] { geglu(x, at::ones({3, 3})); });
  test::refusal(Kind::bug, [&] { ops::embedding(x, at::zeros({2, 2}, at::kLong)); });
  const Tensor value = swiglu(x, x).sum();
  test::refusal(Kind::bug, [&] { torch::autograd::grad({value}, {x}, {}, true, true); });
}

TEST(Embedding, SumsTheGradientsOfEqualIds) {
  const Tensor weight = random_double({4, 3}), ids = at::tensor({1, 3, 1, 1}, at::kLong),
               seed = random_double({4, 3});
  EXPECT_TRUE(ops::embedding(weight, ids).equal(weight.index_select(0, ids)));
  test::check_gradients([&](const auto& in) { return (ops::embedding(in[0], ids) * seed).sum(); },
                        {weight});
}

TEST(Embedding, FloatGradientsAreSumsInRowOrder) {
  const Tensor weight = at::randn({50, 70}).requires_grad_(),
               ids = at::randint(0, 50, {400}, at::kLong), seed = at::randn({400, 70});
  const Tensor found =
      torch::autograd::grad({(ops::embedding(weight, ids) * seed).sum()}, {weight})[0];
  Tensor expected = at::zeros({50, 70});
  for (int64_t i = 0; i < 400; ++i) expected[ids[i].item<int64_t>()] += seed[i];
  EXPECT_TRUE(found.equal(expected));
  EXPECT_EQ(ops::embedding(weight, at::empty({0}, at::kLong)).size(0), 0);
}

}  // namespace
}  // namespace guerdon::ops
