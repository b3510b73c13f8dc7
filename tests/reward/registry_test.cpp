#include "guerdon/reward/registry.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "rollouts.h"
#include "support/errors.h"

// Kinds that a user would write, in his own namespace.
namespace mine {

using guerdon::Reward, guerdon::RewardBatch, guerdon::Rollout, guerdon::Scores, guerdon::Verdict;

struct Starts final : Reward {
  struct Options {
    std::string with = "a";
  };
  explicit Starts(const Options& options) : options(options) {}
  Scores score(const RewardBatch& batch) override {
    return score_each(batch, [&](const Rollout& r) {
      return std::optional(r.text.starts_with(options.with) ? 1.0f : 0.0f);
    });
  }
  Options options;
};
void describe(guerdon::SettingList& field, Starts::Options& o) {
  field("with", o.with, "The beginning");
}
GUERDON_REGISTER_REWARD("test_starts", Starts);

// Fails on what begins with f, times out on t, is silent on s, gives NaN on n and infinity on i.
struct Moody final : Reward {
  Scores score(const RewardBatch& batch) override {
    Scores s = score_each(batch, [](const Rollout& r) -> std::optional<float> {
      if (r.text.starts_with("f")) throw std::runtime_error("broken");
      if (r.text.starts_with("s")) return std::nullopt;
      if (r.text.starts_with("n")) return std::numeric_limits<float>::quiet_NaN();
      if (r.text.starts_with("i")) return std::numeric_limits<float>::infinity();
      return 2.0f;
    });
    for (size_t i = 0; i < s.verdicts.size(); ++i) {
      if (batch.rollouts[i].text.starts_with("t")) s.verdicts[i] = Verdict::timed_out;
    }
    return s;
  }
};
GUERDON_REGISTER_REWARD("test_moody", Moody);

struct Throws final : Reward {
  Scores score(const RewardBatch&) override { throw std::runtime_error("down"); }
};
GUERDON_REGISTER_REWARD("test_throws", Throws);

}  // namespace mine

namespace guerdon {
namespace {

using test::numbers, test::refusal, test::reward, test::rollout, test::score;
using Floats = std::vector<float>;

TEST(Registry, ASingleRewardIsAComponentUnderItsName) {
  const auto starts = reward(R"({"use": "test_starts", "with": "b", "name": "b"})");
  const Scores s = score(*starts, {rollout("ba"), rollout("ab")});
  EXPECT_EQ(numbers(s.total), (Floats{1, 0}));
  EXPECT_EQ(s.names, std::vector<std::string>{"b"});
  EXPECT_EQ(s.weights, std::vector<double>{1});
  EXPECT_TRUE(at::equal(s.components.select(1, 0), s.total));
}

TEST(Registry, SumsWithWeightsAndLogsWeightZero) {
  const auto sum = reward(R"({"use": "sum", "of": [
      {"use": "test_starts", "weight": 0.5}, {"use": "length", "weight": 0},
      {"use": "brevity", "limit": 1, "name": "short"}]})");
  const Scores s = score(*sum, {rollout("a"), rollout("bb"), rollout("")});
  EXPECT_EQ(numbers(s.total), (Floats{1.5, 0, 0}));
  EXPECT_EQ(s.names, (std::vector<std::string>{"test_starts", "length", "short"}));
  EXPECT_EQ(s.weights, (std::vector<double>{.5, 0, 1}));
  EXPECT_EQ(numbers(s.components.select(1, 1)), (Floats{1, 2, 0}));
  EXPECT_TRUE(std::isnan(s.components[2][2].item<float>()));  // brevity: no opinion about nothing
}

TEST(Registry, NestedNamesArePaths) {
  const auto nested = reward(R"({"use": "sum", "of": [{"use": "min", "name": "style", "of": [
      {"use": "length", "weight": 2}, {"use": "test_starts", "weight": 3}]}]})");
  const Scores s = score(*nested, {rollout("a"), rollout("aa")});
  EXPECT_EQ(s.names, (std::vector<std::string>{"style", "style/length", "style/test_starts"}));
  EXPECT_EQ(numbers(s.total), (Floats{2, 3}));
  EXPECT_EQ(s.weights, (std::vector<double>{1, 0, 0}));
}

TEST(Registry, EveryCombination) {
  const auto total = [](const std::string& use) {
    const auto both =
        reward(R"({"use": ")" + use +
               R"(", "of": [{"use": "length"}, {"use": "test_starts", "weight": 4}]})");
    return score(*both, {rollout("aaa")}).total.item<float>();
  };
  EXPECT_EQ(total("sum"), 7);
  EXPECT_FLOAT_EQ(total("mean"), 1.4f);
  EXPECT_EQ(total("product"), 12);
  EXPECT_EQ(total("min"), 3);
  EXPECT_EQ(total("max"), 4);
}

TEST(Registry, AGateLetsThroughFromTheThresholdOn) {
  const auto gate = reward(R"({"use": "gate", "threshold": 1, "otherwise": -1,
      "of": [{"use": "test_starts"}, {"use": "length"}]})");
  EXPECT_EQ(numbers(score(*gate, {rollout("abc"), rollout("bc")}).total), (Floats{3, -1}));
}

TEST(Registry, CosineScaledByRightAndWrong) {
  const auto cosine =
      reward(R"({"use": "cosine_scaled", "max_length": 100, "of": [{"use": "test_starts"}]})");
  const Scores s =
      score(*cosine, {rollout("a" + std::string(24, 'x')), rollout("b" + std::string(74, 'x'))});
  EXPECT_NEAR(s.total[0].item<double>(), .92678, 1e-5);
  EXPECT_NEAR(s.total[1].item<double>(), -.57322, 1e-5);
}

TEST(Registry, RefusalsNameThePath) {
  const auto text = [](const std::string& json) {
    return refusal(Kind::settings, [&] { reward(json); });
  };
  EXPECT_EQ(text(R"({"use": "sum", "of": [{"use": "brevity", "wieght": 2}]})"),
            "grpo.json: key reward.of[0].wieght: no such setting (did you mean \"weight\"?)");
  EXPECT_EQ(text(R"({"use": "sum", "of": [{"use": "brevity", "limit": 0}]})"),
            "grpo.json: key reward.of[0].limit: must be at least 1, got 0");
  EXPECT_EQ(text(R"({"use": "brevty"})"),
            "grpo.json: key reward.use: there is no reward \"brevty\" (did you mean "
            "\"brevity\"?); `guerdon rewards` lists them");
  EXPECT_EQ(text(R"({"use": "sum"})"),
            "grpo.json: key reward.of: must be a list of at least 1 reward");
  EXPECT_EQ(text(R"({"use": "gate", "of": [{"use": "length"}]})"),
            "grpo.json: key reward.of: must be a list of 2 rewards");
  EXPECT_EQ(text(R"({"use": "brevity", "of": []})"), "grpo.json: key reward.of: no such setting");
  EXPECT_EQ(text(R"([1])"), "grpo.json: key reward: must be {\"use\": NAME, ...}, got [1]");
  EXPECT_EQ(text(R"({"use": "sum", "of": [{"use": "length"}, {"use": "length"}]})"),
            "grpo.json: key reward.of[1].name: two rewards are named \"length\"; give one of them "
            "another name");
  EXPECT_EQ(text(R"({"use": "length", "transform": [{"use": "clip", "mni": 1}]})"),
            "grpo.json: key reward.transform[0].mni: no such setting (did you mean \"min\"?)");
  EXPECT_EQ(text(R"({"use": "length", "transform": {"use": "clup"}})"),
            "grpo.json: key reward.transform.use: must be one of clip, scale, sigmoid, "
            "log_sigmoid, center, standardize, rating_log_probability, got \"clup\" (did you mean "
            "\"clip\"?)");
  EXPECT_EQ(text(R"({"use": "length", "on_error": "skip"})"),
            "grpo.json: key reward.on_error: must be \"fail\", \"none\" or a number, got \"skip\"");
  EXPECT_EQ(text(R"({"use": "length", "on_error": 1e39})"),
            "grpo.json: key reward.on_error: is too large");
  EXPECT_EQ(text(R"({"use": "length", "name": "a/b"})"),
            "grpo.json: key reward.name: must not be empty or hold a slash, got \"a/b\"");
}

// ---- failures

TEST(OnError, FailStopsTheRunAndNamesTheRow) {
  const auto moody = reward(R"({"use": "test_moody", "name": "judge"})");
  const auto text = [&](const std::string& row) {
    return refusal(Kind::stopped, [&] { score(*moody, {rollout("ok"), rollout(row)}); });
  };
  const std::string start = "grpo.json: key reward: reward \"judge\" failed on row-";
  EXPECT_EQ(text("f"), start + "f, sample 0: broken");
  EXPECT_EQ(text("t"), start + "t, sample 0: timed out");
  EXPECT_EQ(text("i"), start + "i, sample 0: the score is infinite");
}

TEST(OnError, NoneLeavesTheRowOutAndCountsByKind) {
  const auto moody = reward(R"({"use": "test_moody", "on_error": "none"})");
  const Scores s = score(*moody, {rollout("ok"), rollout("f"), rollout("t"), rollout("s"),
                                  rollout("n"), rollout("i")});
  EXPECT_EQ(s.verdicts,
            (std::vector<Verdict>{Verdict::scored, Verdict::failed, Verdict::timed_out,
                                  Verdict::no_opinion, Verdict::failed, Verdict::failed}));
  EXPECT_EQ(s.total[0].item<float>(), 2);
  EXPECT_TRUE(s.total.slice(0, 1).isnan().all().item<bool>());
  EXPECT_EQ(s.counts.at("test_moody/errors"), 3);
  EXPECT_EQ(s.counts.at("test_moody/timeouts"), 1);
}

TEST(OnError, ANumberStandsInAndIsNotTransformed) {
  const auto moody = reward(
      R"({"use": "test_moody", "on_error": -1, "transform": {"use": "scale", "factor": 10}})");
  const Scores s = score(*moody, {rollout("ok"), rollout("f"), rollout("s")});
  EXPECT_EQ(s.total[0].item<float>(), 20);
  EXPECT_EQ(s.total[1].item<float>(), -1);
  EXPECT_EQ(s.verdicts[1], Verdict::scored);
  EXPECT_EQ(s.verdicts[2], Verdict::no_opinion);  // no opinion is no failure
}

TEST(OnError, ARewardThatIsDownFailsEveryRow) {
  const auto down = reward(R"({"use": "test_throws", "on_error": "none"})");
  EXPECT_EQ(score(*down, {rollout("a"), rollout("b")}).counts.at("test_throws/errors"), 2);
}

TEST(OnError, AFailedChildFailsTheSumButNotASilentOne) {
  const auto sum = reward(
      R"({"use": "sum", "of": [{"use": "length"}, {"use": "test_moody", "on_error": "none"}]})");
  const Scores s = score(*sum, {rollout("abc"), rollout("fff"), rollout("sss")});
  EXPECT_EQ(s.total[0].item<float>(), 5);
  EXPECT_EQ(s.verdicts[1], Verdict::failed);
  EXPECT_TRUE(std::isnan(s.total[1].item<float>()));
  EXPECT_EQ(s.total[2].item<float>(), 3);
}

TEST(OnError, AWatchedRewardThatFailsDoesNotSpoilTheSum) {
  const auto sum = reward(R"({"use": "sum", "of": [{"use": "length"},
      {"use": "test_moody", "on_error": "none", "weight": 0}]})");
  EXPECT_EQ(score(*sum, {rollout("fff")}).total.item<float>(), 3);
}

TEST(OnError, MoreThanAFifthOverThreeStepsStopsUnderEveryPolicy) {
  const std::vector<Rollout> good(10, rollout("ok"));
  std::vector<Rollout> bad = good;
  for (size_t i = 0; i < 4; ++i) bad[i] = rollout("f");
  for (const std::string policy : {"\"none\"", "0"}) {
    const std::string node = R"({"use": "test_moody", "on_error": )" + policy + "}";
    const auto moody = reward(node);
    score(*moody, bad, 0);
    score(*moody, bad, 1);
    EXPECT_EQ(refusal(Kind::stopped, [&] { score(*moody, bad, 2); }),
              "grpo.json: key reward: reward \"test_moody\" failed on 12 of the last three "
              "steps' 30 rows");
    // 4 of 30 over the last three steps is below a fifth.
    const auto other = reward(node);
    score(*other, bad, 0);
    for (int64_t step = 1; step < 5; ++step) score(*other, good, step);
  }
}

// ---- ensembles

TEST(EnsembleReward, IsCombinedAndSaysHowFarItsMembersDiffer) {
  const auto node = [](const std::string& combine) {
    return reward(R"({"use": "ensemble", "combine": ")" + combine + R"(", "of": [
      {"use": "length"}, {"use": "length", "name": "more", "weight": 2},
      {"use": "length", "name": "most", "weight": 6}]})");
  };
  const std::vector<Rollout> rows = {rollout("a"), rollout("aa")};
  EXPECT_EQ(numbers(score(*node("min"), rows).total), (Floats{1, 2}));
  EXPECT_EQ(numbers(score(*node("median"), rows).total), (Floats{2, 4}));
  const Scores mean = score(*node("mean"), rows);
  EXPECT_EQ(numbers(mean.total), (Floats{3, 6}));
  EXPECT_EQ(mean.names, (std::vector<std::string>{"ensemble", "ensemble/mean", "ensemble/length",
                                                  "ensemble/more", "ensemble/most"}));
  EXPECT_EQ(numbers(mean.components[1]), (Floats{6, 6, 2, 2, 2}));
  EXPECT_NEAR(mean.deviation[1][1].item<float>(), std::sqrt(56.0 / 3), 1e-5);
  EXPECT_TRUE(mean.deviation[1][2].isnan().item<bool>());
}

TEST(EnsembleReward, HasNoScoreWhereAMemberHasNone) {
  const auto node = reward(R"({"use": "ensemble", "of": [{"use": "length"}, {"use": "brevity"}]})");
  const Scores s = score(*node, {rollout(""), rollout("a")});
  EXPECT_EQ(s.verdicts[0], Verdict::no_opinion);
  EXPECT_TRUE(s.total[0].isnan().item<bool>());
  EXPECT_EQ(s.total[1].item<float>(), 1);
}

// ---- transforms

Floats transformed(const std::string& transform, const std::vector<Rollout>& rollouts) {
  const auto length = reward(R"({"use": "length", "transform": )" + transform + "}");
  return numbers(score(*length, rollouts).total);
}

TEST(Transform, EachOne) {
  const std::vector<Rollout> rows = {rollout("a"), rollout("aaa")};
  EXPECT_EQ(transformed(R"({"use": "clip", "max": 2})", rows), (Floats{1, 2}));
  EXPECT_EQ(transformed(R"({"use": "clip", "min": 2})", rows), (Floats{2, 3}));
  EXPECT_EQ(transformed(R"([{"use": "scale", "factor": 2}, {"use": "scale", "offset": -1}])", rows),
            (Floats{1, 5}));
  EXPECT_EQ(transformed(R"({"use": "center", "value": 1})", rows), (Floats{0, 2}));
  EXPECT_EQ(transformed(R"({"use": "center"})", rows), (Floats{-1, 1}));
  EXPECT_NEAR(transformed(R"({"use": "sigmoid"})", rows)[0], 0.731059, 1e-6);
  EXPECT_NEAR(transformed(R"({"use": "log_sigmoid"})", rows)[1], -0.048587, 1e-6);
  // 1 / (sqrt 2 + 1e-4)
  EXPECT_NEAR(transformed(R"({"use": "standardize"})", rows)[1], 0.707057, 1e-6);
  // HelpSteer2: a prediction of 3 is a 4 with probability 0.058691.
  const std::string four = R"({"use": "rating_log_probability", "rating": 4})";
  EXPECT_NEAR(transformed(four, rows)[1], std::log(0.058691), 1e-4);
  EXPECT_TRUE(std::isfinite(transformed(four, {rollout("")})[0]));
}

TEST(Transform, LogSigmoidStaysFinite) {
  const std::string steep = R"([{"use": "scale", "factor": -1000}, {"use": "log_sigmoid"}])";
  EXPECT_EQ(transformed(steep, {rollout("aa")})[0], -2000);
}

TEST(Transform, TheRunningMeanGoesOnOverCalls) {
  const auto centered = reward(R"({"use": "length", "transform": {"use": "center"}})");
  score(*centered, {rollout("a"), rollout("aaa")});
  EXPECT_EQ(score(*centered, {rollout("aaaaa")}).total.item<float>(), 2);  // mean of 1, 3, 5
}

// ---- rule rewards

TEST(Rules, AccuracyComparesTheAnswerAndNotTheReasoning) {
  const auto accuracy = reward(R"({"use": "accuracy"})");
  const Json gold = {{"solution", "63/400"}};
  const Scores s = score(*accuracy, {rollout("\\boxed{\\frac{63}{400}}", gold),
                                     rollout("\\boxed{\\frac{64}{400}}", gold),
                                     rollout("<think>\\boxed{63/400}</think>no", gold),
                                     rollout("5", {{"solution", "so it is x"}}),
                                     rollout("it is 7.", {{"solution", 7}}), rollout("7")});
  EXPECT_EQ(numbers(s.total.slice(0, 0, 3)), (Floats{1, 0, 0}));
  EXPECT_EQ(s.verdicts[3], Verdict::no_opinion);
  EXPECT_EQ(s.total[4].item<float>(), 1);
  EXPECT_EQ(s.verdicts[5], Verdict::no_opinion);

  const auto text = reward(R"({"use": "accuracy", "match": "text", "field": "gold"})");
  const Json paris = {{"gold", "paris"}};
  EXPECT_EQ(numbers(score(*text, {rollout("Paris ", paris), rollout("Rome", paris)}).total),
            (Floats{1, 0}));
}

TEST(Rules, TheOthersGiveTheirNumbers) {
  const auto one = [](const std::string& json, const std::string& text) {
    return score(*reward(json), {rollout(text)}).total.item<float>();
  };
  EXPECT_EQ(one(R"({"use": "think_format"})", "<think>a</think>b"), 1);
  EXPECT_FLOAT_EQ(
      one(R"({"use": "repetition_penalty", "ngram_size": 2, "max_penalty": -0.5})", "aaaaa"),
      -.375f);
  EXPECT_EQ(one(R"({"use": "soft_overlong_punishment", "max_completion_len": 100,
                    "soft_punish_cache": 20})",
                std::string(90, 'a')),
            -.5);
  EXPECT_EQ(one(R"({"use": "brevity", "limit": 4})", "abcdef"), .5);
  EXPECT_EQ(
      refusal(Kind::settings, [] { reward(R"({"use": "repetition_penalty", "max_penalty": 1})"); }),
      "grpo.json: key reward.max_penalty: must be at most 0, got 1");
}

}  // namespace
}  // namespace guerdon
