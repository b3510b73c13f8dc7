#include "guerdon/model/feature_model.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/loss/reward_model.h"
#include "guerdon/model/tensor_file.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::model {
namespace {

namespace fs = std::filesystem;
using test::refusal;

Tensor row(std::vector<double> values) { return at::tensor(values, at::kDouble); }

// D2-Align's numbers: e = (1, 0), b = (0.2, 0.5), omega = 1.5, u = (0.6, 0.8).
const Tensor& direction() {
  static const Tensor e = row({1, 0});
  return e;
}
const Tensor& bias() {
  static const Tensor b = row({0.2, 0.5});
  return b;
}

TEST(CorrectedDirection, WorkedByHand) {
  const Tensor u = row({0.6, 0.8});
  const Tensor corrected = corrected_direction(direction(), bias(), 1.5);
  EXPECT_TRUE(at::allclose(corrected, row({0.960616, 0.841923}), 0, 1e-6)) << corrected;
  EXPECT_NEAR(corrected.norm().item<double>(), 1.277348, 1e-6);
  EXPECT_NEAR(cosine(u, direction()).item<double>(), 0.6, 1e-12);
  EXPECT_NEAR(cosine(u, corrected).item<double>(), 0.978518, 1e-6);
  EXPECT_NEAR((u * corrected).sum().item<double>(), 1.249908, 1e-6);
}

TEST(CorrectedDirection, AtItsLimits) {
  const Tensor plus = row({0.923077, 0.384615}), minus = row({0.847998, -0.529999});
  EXPECT_TRUE(at::allclose(corrected_direction(direction(), bias(), 1.0), plus, 0, 1e-6));
  EXPECT_TRUE(at::allclose(corrected_direction(direction(), bias(), 0.0), minus, 0, 1e-6));
  for (const double omega : {-1.0, 0.5, 7.0}) {
    EXPECT_TRUE(
        at::allclose(corrected_direction(row({3, 4}), row({0, 0}), omega), row({0.6, 0.8})));
    // b -> -b together with omega -> 1 - omega.
    EXPECT_TRUE(at::allclose(corrected_direction(direction(), bias(), omega),
                             corrected_direction(direction(), -bias(), 1 - omega)));
  }
  // A sum without length is no division by zero.
  EXPECT_TRUE(corrected_direction(direction(), -direction(), 1.5).isfinite().all().item<bool>());
}

TEST(Cosine, OfVectors) {
  // The surrogate of HARMO: (1 + cos) / 2 = 0.944444.
  EXPECT_NEAR(cosine(row({1, 2, 2}), row({2, 1, 2})).item<double>(), 0.888889, 1e-6);
  EXPECT_EQ(cosine(row({0, 0}), row({1, 2})).item<double>(), 0.0);
}

/// A model whose weights are given.
void set(FeatureModel& model, const std::string& name, const Tensor& value) {
  const at::NoGradGuard no_grad;
  Tensor parameter = model.named_parameters()[name];
  ASSERT_TRUE(parameter.sizes() == value.sizes()) << name << parameter.sizes();
  parameter.copy_(value);
}

TEST(FeatureModel, AHeadIsWorkedByHand) {
  // BaseReward's: W1 = I, b = 0, w2 = (1, -1), SiLU.
  FeatureModel model({.form = "head", .layers = 2}, 2, 1);
  set(model, "head.weight0", at::eye(2));
  set(model, "head.weight1", row({1, -1}).view({1, 2}));
  const Tensor vectors = at::tensor({1.0F, -0.5F, 0.2F, 0.4F}).view({2, 1, 2});
  const Tensor scores = model.scores(vectors);
  EXPECT_NEAR(scores[0].item<double>(), 0.919829, 1e-6);
  EXPECT_NEAR(scores[1].item<double>(), -0.129508, 1e-6);
  const loss::PairScores pair{scores.slice(0, 0, 1), scores.slice(0, 1, 2)};
  EXPECT_NEAR(loss::pair_loss(pair).item<double>(), 0.300230, 1e-6);
  const double centred =
      loss::pair_loss(pair, {}, {.center_rewards_coefficient = 0.01}).item<double>();
  EXPECT_NEAR(centred - 0.300230, 0.006246, 2e-6);
}

TEST(FeatureModel, AHeadOfOneLayerIsLinear) {
  FeatureModel model({.form = "head", .layers = 1}, 3, 1);
  const Tensor vectors = at::randn({4, 1, 3});
  const auto parameters = model.named_parameters();
  EXPECT_TRUE(at::allclose(
      model.scores(vectors),
      vectors.select(1, 0).matmul(parameters["head.weight0"][0]) + parameters["head.bias0"]));
}

TEST(FeatureModel, EveryActivationIsItself) {
  const Tensor vectors = at::randn({3, 1, 4});
  const std::vector<std::pair<std::string, Tensor (*)(const Tensor&)>> known = {
      {"none", [](const Tensor& x) { return x; }},
      {"tanh", [](const Tensor& x) { return at::tanh(x); }},
      {"relu", [](const Tensor& x) { return at::relu(x); }},
      {"silu", [](const Tensor& x) { return at::silu(x); }},
      {"gelu", [](const Tensor& x) { return at::gelu(x); }}};
  for (const auto& [name, f] : known) {
    FeatureModel model({.layers = 2, .hidden = 5, .activation = name}, 4, 3);
    const auto p = model.named_parameters();
    const Tensor inner = at::linear(vectors.select(1, 0), p["head.weight0"], p["head.bias0"]);
    EXPECT_TRUE(at::allclose(model.scores(vectors),
                             at::linear(f(inner), p["head.weight1"], p["head.bias1"]).squeeze(1)))
        << name;
  }
}

TEST(FeatureModel, ASimilarityWithoutLayersIsTheCosine) {
  FeatureModel model({.form = "similarity", .layers = 0, .scale = 4.0}, 3, 1);
  const Tensor vectors = at::randn({5, 2, 3});
  EXPECT_TRUE(at::allclose(model.scores(vectors),
                           4.0 * cosine(vectors.select(1, 0), vectors.select(1, 1))));
  EXPECT_FALSE(model.shift().defined());
}

TEST(FeatureModel, TowersBeginNearTheVectorsThemselves) {
  FeatureModel plain({.form = "similarity", .layers = 0}, 64, 1);
  FeatureModel towers({.form = "similarity", .layers = 2}, 64, 1);
  const Tensor vectors = at::randn({50, 2, 64});
  const Tensor difference = (plain.scores(vectors) - towers.scores(vectors)).abs();
  EXPECT_LT(difference.max().item<double>(), 2.5);  // of scores up to 10
  EXPECT_GT(difference.min().item<double>(), 0.0);
}

TEST(FeatureModel, ACorrectionBeginsWithoutEffectAndThenHasTheFormula) {
  for (const bool renormalize : {true, false}) {
    FeatureModel model({.form = "similarity", .layers = 0, .scale = 1.0}, 2, 1);
    const Tensor vectors = at::tensor({1.0F, 0.0F, 0.6F, 0.8F}).view({1, 2, 2});
    model.correct({.omega = 1.5, .renormalize = renormalize});
    EXPECT_NEAR(model.scores(vectors).item<double>(), 0.6, 1e-6);
    set(model, "bias_direction", bias());
    EXPECT_NEAR(model.scores(vectors).item<double>(), renormalize ? 0.978518 : 1.249908, 1e-6);
  }
  FeatureModel head({}, 2, 1);
  EXPECT_EQ(refusal(Kind::settings, [&] { head.correct({}); }),
            "correction: a head has no direction that could be corrected");
}

TEST(FeatureModel, ComesBackFromItsFolderBitForBit) {
  const test::TemporaryFolder folder;
  FeatureModel head({.layers = 3, .hidden = 7, .activation = "tanh"}, 5, 9);
  FeatureModel similarity({.form = "similarity", .layers = 1}, 5, 9);
  similarity.correct({.omega = 2.0, .renormalize = false});
  set(similarity, "bias_direction", at::rand({5}, at::kDouble));
  for (FeatureModel* model : {&head, &similarity}) {
    const fs::path path = folder.path() / model->shape().form;
    NewFolder out(path);
    write_feature_model(out, *model);
    out.commit();
    EXPECT_TRUE(is_feature_model(path));
    const auto back = load_feature_model(path);
    const Tensor vectors = at::randn({6, model->vectors(), 5});
    EXPECT_TRUE(at::equal(back->scores(vectors), model->scores(vectors)));
  }
  EXPECT_FALSE(is_feature_model(folder.path()));
}

TEST(FeatureModel, AFolderThatIsNotWhatItSaysIsRefused) {
  const test::TemporaryFolder folder;
  const auto write = [&](const Json& changes, const NamedTensors& tensors) {
    NewFolder out(folder.path() / "m");
    add_tensors(out, "model.safetensors", tensors);
    Json config = {{"model_type", "guerdon_features"},
                   {"form", "head"},
                   {"width", 2},
                   {"layers", 1},
                   {"hidden", 0},
                   {"activation", "silu"}};
    for (const auto& [name, value] : changes.items()) config[name] = value;
    out.add("config.json", config.dump());
    out.commit();
  };
  const auto says = [&] {
    return refusal(Kind::input, [&] { load_feature_model(folder.path() / "m"); });
  };
  const std::string config = (folder.path() / "m/config.json").string();
  const std::string file = (folder.path() / "m/model.safetensors").string();
  const Tensor weight = at::ones({1, 2}), zero = at::zeros({1});
  write(Json::object(), {{"head.weight0", weight}, {"head.bias0", zero}});
  EXPECT_NO_THROW(load_feature_model(folder.path() / "m"));
  write(Json::object(), {{"head.weight0", weight}});
  EXPECT_EQ(says(), file + ": tensor \"head.bias0\": is missing");
  write({{"width", 3}}, {{"head.weight0", weight}, {"head.bias0", zero}});
  EXPECT_EQ(says(), file +
                        ": tensor \"head.weight0\": is Float [1, 2], config.json asks for Float "
                        "[1, 3]");
  write(Json::object(), {{"head.weight0", weight / 0}, {"head.bias0", zero}});
  EXPECT_EQ(says(), file + ": tensor \"head.weight0\": is not finite");
  write({{"layers", 9}}, {{"head.weight0", weight}});
  EXPECT_EQ(says(), config + ": field \"layers\" must be a whole number up to 5, got 9");
  write({{"form", "tail"}}, {{"head.weight0", weight}});
  EXPECT_EQ(says(), config + ": form: must be head or similarity, got \"tail\"");
  write({{"model_type", "llama"}}, {{"head.weight0", weight}});
  EXPECT_EQ(says(), config + ": is no model of stored vectors");
}

}  // namespace
}  // namespace guerdon::model
