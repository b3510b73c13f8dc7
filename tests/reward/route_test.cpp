#include "guerdon/reward/route.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <cmath>

#include "guerdon/model/feature_model.h"
#include "reward/rollouts.h"
#include "support/errors.h"
#include "train/tiny_policy.h"

namespace guerdon {
namespace {

using test::numbers, test::refusal, test::reward, test::rollout, test::score;

// Counts what it is shown.
struct Shown final : Reward {
  static inline int64_t rows = 0;
  Scores score(const RewardBatch& batch) override {
    rows += static_cast<int64_t>(batch.rollouts.size());
    return score_each(
        batch, [](const Rollout& r) { return std::optional(static_cast<float>(r.text.size())); });
  }
};
GUERDON_REGISTER_REWARD("test_shown", Shown);

TEST(Route, EachRowIsJudgedByItsOwnReward) {
  const auto route = reward(R"({"use": "route", "of": [
      {"use": "test_shown", "name": "long"}, {"use": "brevity", "name": "short", "weight": 10}]})");
  Shown::rows = 0;
  const Scores s = score(
      *route, {rollout("aaa", {{"category", "long"}}), rollout("bbb", {{"category", "short"}}),
               rollout("c", {{"category", "other"}}), rollout("d")});
  EXPECT_EQ(s.total[0].item<float>(), 3.0F);
  EXPECT_EQ(s.total[1].item<float>(), 10.0F);
  EXPECT_EQ(s.verdicts[2], Verdict::no_opinion);
  EXPECT_EQ(s.verdicts[3], Verdict::no_opinion);
  EXPECT_EQ(Shown::rows, 1);
}

class DifficultyTest : public testing::Test {
 protected:
  DifficultyTest() { test::make_tiny_policy(folder_); }
  std::unique_ptr<Reward> difficulty(Json more = Json::object()) const {
    more["use"] = "difficulty";
    more["embedder"] = (folder_.path() / "policy").string();
    more["of"] = Json::array({{{"use", "test_shown"}}});
    return reward(more.dump());
  }
  static Rollout answer(const std::string& text) {
    return rollout(text, {{"demonstration", "bad, fed"}});
  }
  test::TemporaryFolder folder_;
};

TEST_F(DifficultyTest, WeighsByDistanceAndResponsiveness) {
  const Scores s = score(*difficulty(), {answer("bad. fed"), answer("hedge"), answer("")});
  EXPECT_EQ(s.total[1].item<float>(), 5.0F);  // the child's own
  const model::Embedder embedder(folder_.path() / "policy");
  const auto vectors = [&](std::initializer_list<const char*> texts) {
    std::vector<std::vector<int64_t>> tokens;
    for (const char* text : texts) tokens.push_back(embedder.tokens(std::string(text)));
    return embedder.vectors(tokens);
  };
  const double alike =
      model::cosine(vectors({"bad", "fed"}), vectors({"hedge", "hedge"})).mean().item<double>();
  const std::vector<double> hardness = loss::data_hardness(std::vector<double>{1.0, alike, 0.0});
  // The demonstration has 8 letters, the responses 8, 5 and 0: gaps 0, 3, 8, of which 3 alone lies
  // near their mean.
  const double responsiveness = loss::responsiveness(std::vector<double>{0, 3, 8});
  for (int64_t i = 0; i < 3; ++i)
    EXPECT_NEAR(s.weight[i].item<double>(), hardness[static_cast<size_t>(i)] * responsiveness,
                1e-5);
  EXPECT_NE(responsiveness, 1.0);
}

TEST_F(DifficultyTest, WithoutADemonstrationNothingIsWeighed) {
  const Scores s = score(*difficulty(), {rollout("bad"), rollout("fed")});
  EXPECT_EQ(numbers(s.weight), (std::vector<float>{1, 1}));
}

TEST_F(DifficultyTest, NeedsAnEmbedder) {
  EXPECT_EQ(refusal(Kind::settings,
                    [] { reward(R"({"use": "difficulty", "of": [{"use": "length"}]})"); }),
            "reward difficulty: key embedder: must name a model that reads clauses");
}

}  // namespace
}  // namespace guerdon
