#include "guerdon/ops/layers.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

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

TEST(Embedding, SumsTheGradientsOfEqualIds) {
  const Tensor weight = random_double({4, 3}), ids = at::tensor({1, 3, 1, 1}, at::kLong),
               seed = random_double({4, 3});
  EXPECT_TRUE(ops::embedding(weight, ids).equal(weight.index_select(0, ids)));
  test::check_gradients([&](const auto& in) { return (ops::embedding(in[0], ids) * seed).sum(); },
                        {weight});
}

}  // namespace
}  // namespace guerdon::ops
