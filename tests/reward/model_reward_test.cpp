#include "guerdon/reward/model_reward.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "guerdon/model/reward_model.h"
#include "guerdon/model/tensor_file.h"
#include "reward/rollouts.h"
#include "support/errors.h"
#include "train/tiny_policy.h"

namespace guerdon {
namespace {

using test::refusal, test::reward, test::rollout;

// A reward model with random weights over the tiny policy's letters.
class ModelRewardTest : public testing::Test {
 protected:
  ModelRewardTest() {
    test::make_tiny_policy(folder_);
    const auto model =
        model::load_reward_model(folder_.path() / "policy", {.new_head = true, .seed = 5});
    model::save_reward_model(*model, folder_.path() / "judge",
                             {.assets = folder_.path() / "policy"});
  }
  std::unique_ptr<Reward> judge(const std::string& more = "") {
    return reward(R"({"use": "model", "on_error": "none", "path": )" +
                  Json((folder_.path() / "judge").string()).dump() + more + "}");
  }
  test::TemporaryFolder folder_;
};

std::vector<Rollout> rollouts() {
  std::vector<Rollout> out;
  for (const char* text : {"a", "bb", "cadefg", "", "hhhhhhhh", "b", "fa"}) {
    Rollout r = rollout(text);
    auto example = std::make_shared<Example>(*r.example);
    example->prompt = std::string(out.size() < 4 ? "bad" : "fed");
    r.example = example;
    r.group = out.size() < 4 ? 0 : 1;
    out.push_back(r);
  }
  return out;
}

Scores score_groups(Reward& reward, const std::vector<Rollout>& all) {
  Services services;
  const std::vector<int64_t> groups = generate::group_offsets(all);
  return reward.score({all, groups, 0, services});
}

TEST_F(ModelRewardTest, GivesTheModelsScoreOfPromptAndResponse) {
  const auto model = model::load_reward_model(folder_.path() / "judge");
  const text::Tokenizer tokenizer = text::Tokenizer::load(folder_.path() / "judge");
  std::vector<int64_t> ids = tokenizer.encode("badbb");
  ids.push_back(*tokenizer.eos());  // as in training
  const std::vector<Sequence> one = {{.tokens = ids}};
  const at::NoGradGuard no_gradient;
  EXPECT_EQ(score_groups(*judge(), rollouts()).total[1].item<float>(),
            model->scores(pack(one, {})).item<float>());
}

TEST_F(ModelRewardTest, SameBitsWhateverTheBatch) {
  const std::vector<Rollout> all = rollouts();
  const Tensor together = score_groups(*judge(), all).total;
  EXPECT_TRUE(together.isfinite().all().item<bool>());
  EXPECT_TRUE(at::equal(score_groups(*judge(R"(, "batch_tokens": 1)"), all).total, together));
  const auto one = judge();
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(score_groups(*one, {all[i]}).total.item<float>(),
              together[static_cast<int64_t>(i)].item<float>())
        << i;
  }
}

TEST_F(ModelRewardTest, ResponsesFarFromKnownOnesGetNoWeight) {
  const std::vector<Rollout> all = rollouts();
  ModelReward model({.path = (folder_.path() / "judge").string()});
  Services services;
  const std::vector<int64_t> groups = generate::group_offsets(all);
  const Tensor states = model.states({all, groups, 0, services});
  ASSERT_EQ(states.size(0), static_cast<int64_t>(all.size()));
  // Row 2 is a centroid, and so is a point that all are far from.
  const Tensor centres = at::cat({states.narrow(0, 2, 1), at::full({1, states.size(1)}, 1e3)});
  NewFolder known(folder_.path() / "known");
  model::add_tensors(known, "centroids", {{"a", centres}});
  known.commit();
  const auto judged = [&](double limit) {
    return score_groups(
        *judge(R"(, "centroids": )" + Json((folder_.path() / "known/centroids").string()).dump() +
               R"(, "max_distance": )" + std::to_string(limit)),
        all);
  };
  const Tensor plain = score_groups(*judge(), all).total;
  const Scores everything = judged(1e9), itself = judged(1e-3);
  EXPECT_TRUE(at::equal(everything.total, plain));
  EXPECT_TRUE(at::equal(everything.weight, at::ones({7})));
  EXPECT_TRUE(at::equal(itself.total, plain));
  EXPECT_TRUE(at::equal(itself.weight, (at::arange(7) == 2).to(at::kFloat)));
  const std::string path = Json((folder_.path() / "judge").string()).dump();
  refusal(Kind::settings,
          [&] { reward(R"({"use": "model", "max_distance": 1, "path": )" + path + "}"); });
}

TEST_F(ModelRewardTest, AnEnsemblesMembersAreComponentsWithADeviation) {
  const auto model = model::load_reward_model(
      folder_.path() / "policy",
      {.new_head = true,
       .seed = 5,
       .readout = model::Readout{.members = 3, .combination = {.combine = "mean"}}});
  model::save_reward_model(*model, folder_.path() / "judge", {.assets = folder_.path() / "policy"});
  const std::vector<Rollout> all = rollouts();
  const Scores mean = score_groups(*judge(), all);
  EXPECT_EQ(mean.names, (std::vector<std::string>{"model", "model/mean", "model/member0",
                                                  "model/member1", "model/member2"}));
  const Tensor members = mean.components.narrow(1, 2, 3);
  EXPECT_TRUE(at::allclose(mean.total, members.mean(1)));
  EXPECT_TRUE(at::allclose(mean.deviation.select(1, 1), members.std(1, false), 1e-4, 1e-6));
  const Scores lowest = score_groups(*judge(R"(, "combine": "min")"), all);
  EXPECT_TRUE(at::equal(lowest.total, members.amin(1)));
}

TEST_F(ModelRewardTest, AProcessModelScoresEachStep) {
  const at::NoGradGuard no_gradient;
  const auto model =
      model::load_reward_model(folder_.path() / "policy", {.new_head = true, .seed = 5});
  model->set_presentation({.step_separator = "g", .step_reduction = "product"});
  model->head_weight().mul_(20);
  model::save_reward_model(*model, folder_.path() / "judge", {.assets = folder_.path() / "policy"});
  const text::Tokenizer tokenizer = text::Tokenizer::load(folder_.path() / "judge");
  const auto probability = [&](const std::string& text) {
    const std::vector<Sequence> one = {{.tokens = tokenizer.encode(text)}};
    return model->scores(pack(one, {})).sigmoid().item<double>();
  };
  std::vector<Rollout> all = {rollouts()[0], rollouts()[0]};
  all[0].text = "agbbgc";
  all[1].text = "gg";  // no step
  const double q[] = {probability("bada"), probability("badagbb"), probability("badagbbgc")};
  const Scores product = score_groups(*judge(), all);
  EXPECT_NEAR(product.total[0].item<double>(), q[0] * q[1] * q[2], 1e-5);
  EXPECT_EQ(product.verdicts[1], Verdict::no_opinion);
  EXPECT_TRUE(product.notes[0].find("steps: ") != std::string::npos) << product.notes[0];
  const auto delta = judge(R"(, "step_reduction": "sum", "step_shape": "delta")");
  EXPECT_NEAR(score_groups(*delta, all).total[0].item<double>(), q[0], 1e-5);
}

TEST_F(ModelRewardTest, OneModelIsNoEnsembleAndScoresNoSteps) {
  const auto refused = [&](const std::string& more) {
    return refusal(Kind::settings, [&] { judge(more); });
  };
  EXPECT_NE(refused(R"(, "combine": "min")").find("key combine"), std::string::npos);
  EXPECT_NE(refused(R"(, "step_reduction": "min")").find("scores no steps"), std::string::npos);
}

TEST_F(ModelRewardTest, RefusesAFolderWithoutAHead) {
  const std::string policy = Json((folder_.path() / "policy").string()).dump();
  refusal(Kind::input, [&] { reward(R"({"use": "model", "path": )" + policy + "}"); });
  refusal(Kind::settings, [] { reward(R"({"use": "model"})"); });
}

TEST_F(ModelRewardTest, AConversationWithoutATemplateIsAFailureOfItsRow) {
  std::vector<Rollout> all = rollouts();
  auto example = std::make_shared<Example>();
  example->prompt = Conversation{{.role = "user", .content = "bad", .extra = {}}};
  all[5].example = example;
  const Scores s = score_groups(*judge(), all);
  EXPECT_EQ(s.verdicts[5], Verdict::failed);
  EXPECT_EQ(s.verdicts[6], Verdict::scored);
}

}  // namespace
}  // namespace guerdon
