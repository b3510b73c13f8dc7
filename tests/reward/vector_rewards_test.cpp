#include "guerdon/reward/vector_rewards.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <cmath>

#include "guerdon/model/feature_model.h"
#include "guerdon/model/tensor_file.h"
#include "reward/rollouts.h"
#include "support/errors.h"
#include "train/tiny_policy.h"

namespace guerdon {
namespace {

using test::numbers, test::refusal, test::reward, test::rollout, test::score;
using Floats = std::vector<float>;

class VectorRewards : public testing::Test {
 protected:
  VectorRewards() { test::make_tiny_policy(folder_); }

  /// A file of vectors in the folder.
  std::string vectors(const Tensor& values) {
    NewFolder out(folder_.path() / "stored");
    model::add_tensors(out, "v.safetensors", {{"v", values}});
    out.commit();
    return (folder_.path() / "stored/v.safetensors").string();
  }
  std::string feature_model(const model::FeatureShape& shape, int64_t width) {
    const model::FeatureModel model(shape, width, 4);
    NewFolder out(folder_.path() / shape.form);
    model::write_feature_model(out, model);
    out.commit();
    return (folder_.path() / shape.form).string();
  }
  std::string policy() const { return (folder_.path() / "policy").string(); }
  static Json at_row(const std::string& file, int row) {
    return {{"file", file}, {"key", "v"}, {"row", row}};
  }

  test::TemporaryFolder folder_;
};

TEST_F(VectorRewards, AHeadScoresTheStoredVector) {
  const Tensor values = at::randn({3, 5});
  const std::string file = vectors(values), path = feature_model({}, 5);
  const auto judge = reward(Json({{"use", "features"}, {"path", path}}).dump());
  const Scores s = score(*judge, {rollout("a", {{"response_vector", at_row(file, 2)}}),
                                  rollout("b", {{"response_vector", at_row(file, 0)}})});
  const Tensor expected = model::load_feature_model(path)->scores(values.unsqueeze(1));
  EXPECT_TRUE(at::allclose(s.total, at::stack({expected[2], expected[0]})));
}

TEST_F(VectorRewards, WhatHasNoStoredVectorIsEmbedded) {
  const std::string path = feature_model({.form = "similarity", .layers = 1}, 32);
  const auto judge =
      reward(Json({{"use", "features"}, {"path", path}, {"embedder", policy()}}).dump());
  const model::Embedder embedder(policy());
  Rollout r = rollout("bad");
  auto example = std::make_shared<Example>(*r.example);
  example->prompt = std::string("fed");
  r.example = example;
  const std::vector<std::vector<int64_t>> texts = {embedder.tokens(std::string("fed")),
                                                   embedder.tokens(std::string("bad"))};
  const Tensor both = embedder.vectors(texts);
  const Tensor expected = model::load_feature_model(path)->scores(both.unsqueeze(0));
  EXPECT_NEAR(score(*judge, {r}).total[0].item<float>(), expected.item<float>(), 1e-5);
  // The same with the prompt's vector stored.
  const std::string file = vectors(both);
  example = std::make_shared<Example>(*r.example);
  example->fields = Fields(Json{{"prompt_vector", at_row(file, 0)}}, "rows.jsonl:1");
  r.example = example;
  EXPECT_NEAR(score(*judge, {r}).total[0].item<float>(), expected.item<float>(), 1e-5);
}

TEST_F(VectorRewards, ARowWithoutAVectorFails) {
  const std::string file = vectors(at::randn({1, 5})), path = feature_model({}, 5);
  const auto judge =
      reward(Json({{"use", "features"}, {"path", path}, {"on_error", "none"}}).dump());
  const Scores s =
      score(*judge, {rollout("a"), rollout("b", {{"response_vector", at_row(file, 0)}}),
                     rollout("c", {{"response_vector", at_row(file, 1)}})});
  EXPECT_EQ(s.verdicts, (std::vector<Verdict>{Verdict::failed, Verdict::scored, Verdict::failed}));
  EXPECT_TRUE(std::isfinite(s.total[1].item<float>()));
  // Nobody has one.
  EXPECT_EQ(score(*judge, {rollout("a")}).verdicts, std::vector<Verdict>{Verdict::failed});
  const auto strict = reward(Json({{"use", "features"}, {"path", path}}).dump());
  EXPECT_NE(
      refusal(Kind::stopped, [&] { score(*strict, {rollout("a")}); })
          .find("rows.jsonl:1: field \"response_vector\" is missing, and no embedder is named"),
      std::string::npos);
}

TEST_F(VectorRewards, RefusesAnEmbedderOfAnotherWidth) {
  const std::string path = feature_model({}, 5);
  EXPECT_EQ(
      refusal(Kind::input,
              [&] {
                reward(Json({{"use", "features"}, {"path", path}, {"embedder", policy()}}).dump());
              }),
      policy() + ": makes vectors of 32 numbers, " + path + " reads 5");
  EXPECT_EQ(refusal(Kind::settings, [] { reward(R"({"use": "features"})"); }),
            "reward features: key path: must name the folder or run of train features");
}

TEST_F(VectorRewards, SimilarityIsTheCosineBetweenNoughtAndOne) {
  const std::string file = vectors(
      at::tensor({1.0F, 2.0F, 2.0F, 2.0F, 1.0F, 2.0F, -1.0F, -2.0F, -2.0F, 0.0F, 0.0F, 0.0F})
          .view({4, 3}));
  const auto judge = reward(R"({"use": "similarity"})");
  const auto row = [&](int response) {
    return rollout(
        "a", {{"response_vector", at_row(file, response)}, {"answer_vector", at_row(file, 0)}});
  };
  const Scores s = score(*judge, {row(1), row(0), row(2), row(3), rollout("a")});
  const Floats total = numbers(s.total);
  EXPECT_NEAR(total[0], 0.944444, 1e-6);
  EXPECT_NEAR(total[1], 1.0, 1e-6);
  EXPECT_NEAR(total[2], 0.0, 1e-6);
  EXPECT_EQ(total[3], 0.5F);
  EXPECT_EQ(s.verdicts[4], Verdict::no_opinion);
}

TEST_F(VectorRewards, SimilarityOfTexts) {
  const auto judge = reward(Json({{"use", "similarity"}, {"embedder", policy()}}).dump());
  const Floats total = numbers(
      score(*judge, {rollout("bad", {{"answer", "bad"}}), rollout("hedge", {{"answer", "bad"}})})
          .total);
  EXPECT_NEAR(total[0], 1.0, 1e-6);
  EXPECT_LT(total[1], 0.999);
}

// ---- model and rule together (BaseReward, HARMO) -----------------------------------------------

// A "model" whose score of r is known: the field.
struct Given final : Reward {
  Scores score(const RewardBatch& batch) override {
    return score_each(batch, [](const Rollout& r) {
      return std::optional(static_cast<float>(r.example->fields.number("r")));
    });
  }
};
GUERDON_REGISTER_REWARD("test_given", Given);

constexpr const char* kSigmoid = R"({"use": "test_given", "transform": {"use": "sigmoid"}})";

TEST(Hybrid, IsOneWhereTheAnswerMatchesElseTheModels) {
  const auto hybrid =
      reward(R"({"use": "max", "of": [{"use": "accuracy"}, )" + std::string(kSigmoid) + "]}");
  const Scores s =
      score(*hybrid, {rollout("the answer is 4", {{"solution", "4"}, {"r", -3}}),
                      rollout("the answer is 5", {{"solution", "4"}, {"r", 0.919829}})});
  EXPECT_NEAR(s.total[0].item<float>(), 1.0, 1e-6);
  EXPECT_NEAR(s.total[1].item<float>(), 0.715007, 1e-6);
}

TEST(Hybrid, TheModelJudgesWhereNoRuleCan) {
  const auto routed =
      reward(R"({"use": "first", "of": [{"use": "accuracy"}, )" + std::string(kSigmoid) + "]}");
  const Scores s =
      score(*routed, {rollout("5", {{"solution", "4"}, {"r", 9}}),
                      rollout("4", {{"solution", "4"}, {"r", -9}}), rollout("a poem", {{"r", 0}})});
  EXPECT_EQ(numbers(s.total), (Floats{0, 1, 0.5}));
}

std::vector<Rollout> of_lengths(std::initializer_list<std::pair<int, int>> lengths) {
  std::vector<Rollout> out;
  for (const auto& [length, right] : lengths)
    out.push_back(rollout(std::string(static_cast<size_t>(length), 'x'), {{"r", right}}));
  return out;
}

void expect_near(const Scores& scores, const std::vector<double>& expected) {
  const Floats total = numbers(scores.total);
  ASSERT_EQ(total.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(total[i], expected[i], 1e-6) << i;
}

TEST(LengthInGroup, ShortResponsesPay) {
  const auto all = of_lengths({{100, 0}, {200, 1}, {300, 1}});
  const auto with = [](const std::string& more) {
    return reward(R"({"use": "length_in_group", "of": [{"use": "test_given"}])" + more + "}");
  };
  expect_near(score(*with(""), all), {-0.3, -0.1, 0});
  expect_near(score(*with(R"(, "tau": 0.8)"), all), {-0.25, 0, 0});
  expect_near(score(*with(""), of_lengths({{100, 0}, {200, 0}})), {0, 0});
}

TEST(LengthInGroup, OrLongOnes) {
  const auto brevity =
      reward(R"({"use": "length_in_group", "mode": "brevity", "of": [{"use": "test_given"}]})");
  expect_near(score(*brevity, of_lengths({{100, 1}, {200, 1}, {300, 1}})), {0.5, 0, -0.5});
  expect_near(score(*brevity, of_lengths({{100, 0}, {200, 0}, {300, 0}})), {0, 0, -0.5});
  expect_near(score(*brevity, of_lengths({{7, 0}, {7, 1}})), {0, 0});
}

TEST(LengthInGroup, IsOneTermOfHarmosSum) {
  // All formatted (1), weights 1, tau 1.
  const auto harmo = reward(R"({"use": "sum", "of": [{"use": "test_given"},
      {"use": "test_given", "name": "format", "transform": {"use": "clip", "min": 1, "max": 1}},
      {"use": "length_in_group", "of": [{"use": "test_given"}]}]})");
  const Scores s = score(*harmo, of_lengths({{100, 0}, {200, 1}, {300, 1}}));
  expect_near(s, {0.7, 1.9, 2.0});
  const Tensor centred = s.total - s.total.mean();
  EXPECT_TRUE(at::allclose(centred, at::tensor({-0.833333F, 0.366667F, 0.466667F}), 0, 1e-6));
  const auto brevity = reward(R"({"use": "sum", "of": [{"use": "test_given"},
      {"use": "test_given", "name": "format", "weight": 0.2,
       "transform": {"use": "clip", "min": 1, "max": 1}},
      {"use": "length_in_group", "mode": "brevity", "weight": 0.1,
       "of": [{"use": "test_given"}]}]})");
  expect_near(score(*brevity, of_lengths({{100, 1}, {300, 0}})), {1.25, 0.15});
}

TEST(LengthInGroup, LooksAtItsOwnGroup) {
  const auto brevity =
      reward(R"({"use": "length_in_group", "mode": "brevity", "of": [{"use": "test_given"}]})");
  std::vector<Rollout> all = of_lengths({{10, 1}, {20, 1}, {100, 1}, {300, 1}});
  Services services;
  const std::vector<int64_t> groups = {0, 2, 4};
  expect_near(brevity->score({all, groups, 0, services}), {0.5, -0.5, 0.5, -0.5});
}

}  // namespace
}  // namespace guerdon
