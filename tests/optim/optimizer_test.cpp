#include "guerdon/optim/optimizer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "guerdon/base/json_reader.h"
#include "support/data.h"

namespace guerdon::optim {
namespace {

Tensor tensor_of(const Json& json) {
  std::vector<double> values;
  std::vector<int64_t> shape;
  for (const Json* level = &json; level->is_array(); level = &(*level)[0]) {
    shape.push_back(static_cast<int64_t>(level->size()));
  }
  const std::function<void(const Json&)> walk = [&](const Json& j) {
    if (!j.is_array()) return values.push_back(j.get<double>());
    for (const Json& item : j) walk(item);
  };
  walk(json);
  return at::tensor(values, at::kDouble).to(at::kFloat).view(shape);
}

Tensor parameter(const Tensor& value) { return value.clone().requires_grad_(); }

void expect_near(const Tensor& a, const Tensor& b, double tolerance) {
  EXPECT_LE((a - b).abs().max().item<double>(), tolerance);
}

TEST(AdamW, AgreesWithTorchOverFiveClippedSteps) {
  const Json fixture = read_json(test::fixture("optim.json"))["adamw"];
  const Tensor first = parameter(tensor_of(fixture["start"][0]));
  const Tensor second = parameter(tensor_of(fixture["start"][1]));
  AdamW optimizer(
      {{"first", first, {}}, {"second", second, {.weight_decay = 0.0}}},
      {.adam_beta1 = 0.8, .adam_beta2 = 0.95, .adam_epsilon = 1e-6, .weight_decay = 0.1});
  for (const Json& step : fixture["steps"]) {
    optimizer.zero_grad();
    first.mutable_grad() = tensor_of(step["gradients"][0]);
    if (!step["gradients"][1].is_null()) second.mutable_grad() = tensor_of(step["gradients"][1]);
    const Clipping clipping = clipping_of(optimizer, 1.5);
    EXPECT_NEAR(clipping.norm, step["norm"].get<double>(), 1e-6);
    optimizer.step(1e-2, clipping);
    // float32 against float32: a few roundings.
    expect_near(first.detach(), tensor_of(step["after"][0]), 1e-6);
    expect_near(second.detach(), tensor_of(step["after"][1]), 1e-6);
  }
}

TEST(AdamW, DecaysMatricesAloneUnlessAGroupSaysOtherwise) {
  const Tensor matrix = parameter(at::ones({2, 2})), bias = parameter(at::ones({2})),
               asked = parameter(at::ones({2}));
  AdamW optimizer(
      {{"matrix", matrix, {}}, {"bias", bias, {}}, {"asked", asked, {.weight_decay = 0.5}}},
      {.weight_decay = 0.5});
  for (const Tensor& p : {matrix, bias, asked}) p.mutable_grad() = at::zeros_like(p);
  optimizer.step(0.1);
  expect_near(matrix.detach(), at::full({2, 2}, 0.95), 1e-6);
  expect_near(bias.detach(), at::ones({2}), 0.0);
  expect_near(asked.detach(), at::full({2}, 0.95), 1e-6);
}

TEST(AdamW, TellsThoseWhoKeepACopyThatTheWeightsChanged) {
  const Tensor p = parameter(at::ones({2, 2}));
  AdamW optimizer({{"p", p, {}}}, {});
  const auto before = p._version();
  p.mutable_grad() = at::ones({2, 2});
  optimizer.step(0.1);
  EXPECT_NE(p._version(), before);
}

TEST(AdamW, ScalesTheLearningRateOfAGroup) {
  const Tensor whole = parameter(at::ones({3})), half = parameter(at::ones({3}));
  AdamW optimizer({{"whole", whole, {}}, {"half", half, {.learning_rate_scale = 0.5}}}, {});
  whole.mutable_grad() = at::ones({3});
  half.mutable_grad() = at::ones({3});
  optimizer.step(0.1);
  expect_near(1.0 - whole.detach(), 2.0 * (1.0 - half.detach()), 1e-6);
}

TEST(Clipping, IsTheNormOfAllAndScalesDownOnly) {
  const Tensor a = parameter(at::zeros({2})), b = parameter(at::zeros({2}));
  AdamW optimizer({{"a", a, {}}, {"b", b, {}}}, {});
  a.mutable_grad() = at::tensor({3.0f, 0.0f});
  b.mutable_grad() = at::tensor({0.0f, 4.0f});
  EXPECT_EQ(clipping_of(optimizer, 10.0).scales, (std::vector<double>{1.0, 1.0}));
  const Clipping clipped = clipping_of(optimizer, 1.0);
  EXPECT_NEAR(clipped.norm, 5.0, 1e-12);
  EXPECT_NEAR(clipped.scales[0], 1.0 / (5.0 + 1e-6), 1e-12);
  EXPECT_EQ(clipping_of(optimizer, 0.0).scales, (std::vector<double>{1.0, 1.0}));
  EXPECT_EQ(a.grad()[0].item<float>(), 3.0f);
}

TEST(Clipping, AGroupWithItsOwnLimitIsClippedByItself) {
  const Tensor a = parameter(at::zeros({1})), b = parameter(at::zeros({1}));
  AdamW optimizer({{"a", a, {}}, {"b", b, {.max_grad_norm = 0.5}}}, {});
  a.mutable_grad() = at::tensor({0.9f});
  b.mutable_grad() = at::tensor({2.0f});
  const Clipping clipping = clipping_of(optimizer, 1.0);
  EXPECT_EQ(clipping.scales[0], 1.0);
  EXPECT_NEAR(clipping.scales[1], 0.25, 1e-6);
}

TEST(Clipping, SaysNonFiniteAndScalesNothing) {
  const Tensor a = parameter(at::zeros({2}));
  AdamW optimizer({{"a", a, {}}}, {});
  a.mutable_grad() = at::tensor({1.0f, std::numeric_limits<float>::quiet_NaN()});
  const Clipping clipping = clipping_of(optimizer, 1.0);
  EXPECT_TRUE(std::isnan(clipping.norm));
  EXPECT_EQ(clipping.scales[0], 1.0);
}

TEST(GradientNorm, DoesNotOverflowWhereFloat32Would) {
  const std::vector<Tensor> large = {at::full({4}, 1e30f)};
  EXPECT_NEAR(gradient_norm(large) / 2e30, 1.0, 1e-6);
}

}  // namespace
}  // namespace guerdon::optim
