#include "guerdon/train/grpo.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <sstream>

#include "guerdon/base/file.h"
#include "guerdon/base/log.h"
#include "guerdon/base/signals.h"
#include "guerdon/model/logprobs.h"
#include "guerdon/model/tensor_file.h"
#include "guerdon/train/checkpoint.h"
#include "guerdon/train/loop.h"
#include "support/errors.h"
#include "train/tiny_policy.h"

namespace guerdon::test {
GUERDON_REGISTER_REWARD("test_likes_b", LikesB);
}  // namespace guerdon::test

namespace guerdon::train {
namespace {

namespace fs = std::filesystem;
using test::refusal, test::TemporaryFolder, test::tiny_grpo;

TrainResult run_grpo(const GrpoSettings& settings, const fs::path& output, bool resume = false) {
  RunFolder run(output, resume);
  const auto grpo = make_grpo(settings, "grpo.json", run);
  return train(*grpo, settings.train, run, {.command = "train grpo", .resume = resume});
}

std::vector<Json> lines(const fs::path& file) {
  std::vector<Json> out;
  std::istringstream text(read_file(file));
  for (std::string line; std::getline(text, line);) out.push_back(parse_json(line, file));
  return out;
}

/// Without what tells time or memory.
std::string metrics(const fs::path& run) {
  std::string out;
  for (Json line : lines(run / "metrics.jsonl")) {
    for (const char* name : {"step_time", "tokens_per_second", "peak_memory_mb"}) line.erase(name);
    out += line.dump() + "\n";
  }
  return out;
}

class GrpoTest : public testing::Test {
 protected:
  GrpoTest() {
    request_stop(0);
    test::make_tiny_policy(folder_);
  }
  TemporaryFolder folder_;
};

TEST_F(GrpoTest, InBfloat16LearnsAndResumesBitForBit) {
  GrpoSettings settings = tiny_grpo(folder_, 40);
  settings.train.bf16 = true;
  settings.train.save_steps = 25;
  const fs::path whole = folder_.path() / "whole", cut = folder_.path() / "cut";
  run_grpo(settings, whole);
  const std::vector<Json> steps = lines(whole / "metrics.jsonl");
  EXPECT_LT(steps.front().at("reward").get<double>(), 0.4);
  EXPECT_GT(steps.back().at("reward").get<double>(), 0.8);
  for (const Json& step : steps) {
    // Answers are written token by token and judged in one pass: two orders of sums in 8 bits.
    EXPECT_LE(step.at("sampling/logp_difference").get<double>(), 0.1);
  }
  run_grpo(settings, cut);
  fs::remove_all(cut / "checkpoints" / checkpoint_name(40));
  run_grpo(settings, cut, true);
  EXPECT_EQ(read_file(cut / "model/model.safetensors"),
            read_file(whole / "model/model.safetensors"));
  const model::TensorFile file(whole / "model/model.safetensors");
  for (const data::TensorEntry& entry : file.entries()) EXPECT_EQ(entry.dtype, "F32");
}

TEST_F(GrpoTest, LearnsWhatTheRewardLikes) {
  run_grpo(tiny_grpo(folder_, 40), folder_.path() / "run");
  const std::vector<Json> steps = lines(folder_.path() / "run/metrics.jsonl");
  ASSERT_EQ(steps.size(), 40u);
  EXPECT_LT(steps.front().at("reward").get<double>(), 0.4);
  EXPECT_GT(steps.back().at("reward").get<double>(), 0.8);
  for (const Json& step : steps) {
    EXPECT_LE(step.at("sampling/logp_difference").get<double>(), 1e-5);
    EXPECT_EQ(step.at("clip_ratio/region_mean").get<double>(),
              0.0);  // one update per rollout: the ratio is 1
    for (const char* name :
         {"reward_std", "frac_reward_zero_std", "rewards/test_likes_b/mean", "entropy",
          "policy_loss", "completions/mean_length", "completions/clipped_ratio",
          "completions/max_terminated_length", "reward/test_likes_b/errors"}) {
      EXPECT_TRUE(step.contains(name)) << name;
    }
  }
  // The saved policy answers as the trained one: mostly b.
  const std::vector<Json> samples = lines(folder_.path() / "run/samples.jsonl");
  const auto b_share = [&](const std::string& when) {
    double b = 0, all = 0;
    for (const Json& row : samples) {
      if (row.value("when", "") != when) continue;
      const std::string text = row.at("completion");
      b += static_cast<double>(std::count(text.begin(), text.end(), 'b'));
      all += static_cast<double>(text.size());
    }
    return all > 0 ? b / all : -1.0;
  };
  EXPECT_GT(b_share("after"), 0.8);
  EXPECT_LT(b_share("before"), 0.8);
}

TEST_F(GrpoTest, EvaluationJudgesAnswersAndLeavesTrainingAlone) {
  GrpoSettings s = tiny_grpo(folder_, 30);
  // A reward with state, which an evaluation must not move.
  s.reward.text = R"({"use": "test_likes_b", "transform": {"use": "standardize"}})";
  s.train.save_steps = 18;
  run_grpo(s, folder_.path() / "without");
  s.train.data.eval.text = Json{{"held", (folder_.path() / "prompts.jsonl").string()},
                                {"again",
                                 {(folder_.path() / "prompts.jsonl").string(),
                                  (folder_.path() / "prompts.jsonl").string()}}}
                               .dump();
  s.train.eval_strategy = "steps";
  s.train.eval_steps = 10;
  s.train.load_best_model_at_end = true;
  s.num_generations_eval = 3;
  const fs::path run = folder_.path() / "run";
  run_grpo(s, run);
  EXPECT_EQ(read_file(run / "checkpoints" / checkpoint_name(18) / "model.safetensors"),
            read_file(folder_.path() / "without/checkpoints" / checkpoint_name(18) /
                      "model.safetensors"));
  const std::vector<Json> steps = lines(run / "metrics.jsonl");
  EXPECT_FALSE(steps[8].contains("eval_held_reward"));
  EXPECT_FALSE(steps[9].contains("eval_held_loss"));
  for (const char* name :
       {"eval_held_reward", "eval_again_reward", "eval_held_rewards/test_likes_b/mean",
        "eval_held_completions/mean_length", "eval_held_frac_reward_zero_std"}) {
    EXPECT_TRUE(steps[9].contains(name)) << name;
  }
  // Better than the run was on average.
  EXPECT_GT(steps[29].at("eval_held_reward").get<double>(), 0.0);
  // What is best is the largest mean reward of the first set, not the smallest.
  size_t best = 9;
  for (const size_t step : {size_t{19}, size_t{29}})
    if (steps[step].at("eval_again_reward") > steps[best].at("eval_again_reward")) best = step;
  EXPECT_EQ(read_file(run / "model/model.safetensors"),
            read_file(run / "checkpoints" / checkpoint_name(static_cast<int64_t>(best) + 1) /
                      "model.safetensors"));
  // Stopped and resumed, it is the same run.
  const std::string whole = metrics(run), model = read_file(run / "model/model.safetensors");
  for (const int64_t step : {20, 30}) fs::remove_all(run / "checkpoints" / checkpoint_name(step));
  run_grpo(s, run, true);
  EXPECT_EQ(metrics(run), whole);
  EXPECT_EQ(read_file(run / "model/model.safetensors"), model);
}

TEST_F(GrpoTest, SeveralUpdatesPerCollectKeepOldLogProbs) {
  GrpoSettings s = tiny_grpo(folder_, 24);
  s.train.per_device_train_batch_size = 8;
  s.steps_per_generation = 2;
  s.num_iterations = 2;
  s.loss.beta = 0.01;
  run_grpo(s, folder_.path() / "run");
  const std::vector<Json> steps = lines(folder_.path() / "run/metrics.jsonl");
  EXPECT_EQ(steps[0].at("kl").get<double>(), 0.0);  // the policy is the reference still
  EXPECT_GT(steps[8].at("kl").get<double>(), 0.0);
  EXPECT_TRUE(steps[0].contains("reward"));
  EXPECT_FALSE(steps[1].contains("reward"));  // three more updates of the same collect
  EXPECT_TRUE(steps[4].contains("reward"));
  for (const Json& step : steps) EXPECT_LE(step.at("sampling/logp_difference").get<double>(), 1e-5);
  // Repeated updates move the ratio away from 1.
  EXPECT_TRUE(std::any_of(steps.begin(), steps.end(), [](const Json& step) {
    return step.at("clip_ratio/region_mean").get<double>() > 0;
  }));
}

TEST_F(GrpoTest, AResumedRunIsTheRunThatDidNotStop) {
  GrpoSettings s = tiny_grpo(folder_, 9);
  // A reward with state: the running mean must survive.
  s.reward.text = R"({"use": "test_likes_b", "transform": {"use": "standardize"}})";
  s.loss.beta = 0.05;
  s.sync_ref_model = true;
  s.ref_model_sync_steps = 2;
  run_grpo(s, folder_.path() / "whole");
  GrpoSettings first = s;
  first.train.save_steps = 4;
  {
    // Killed after the checkpoint of step 4 was written.
    RunFolder run(folder_.path() / "cut", false);
    const auto grpo = make_grpo(first, "grpo.json", run);
    train(*grpo, first.train, run, {.command = "train grpo", .progress = [](const Progress& p) {
                                      if (p.done == 6) request_stop(SIGINT);
                                    }});
    request_stop(0);
  }
  fs::remove_all(folder_.path() / "cut/checkpoints" / checkpoint_name(6));
  run_grpo(first, folder_.path() / "cut", true);
  EXPECT_EQ(metrics(folder_.path() / "cut"), metrics(folder_.path() / "whole"));
  EXPECT_EQ(read_file(folder_.path() / "cut/samples.jsonl"),
            read_file(folder_.path() / "whole/samples.jsonl"));
  EXPECT_EQ(read_file(folder_.path() / "cut/model/model.safetensors"),
            read_file(folder_.path() / "whole/model/model.safetensors"));
}

TEST_F(GrpoTest, TheAdaptersReferenceIsTheModelWithoutIt) {
  GrpoSettings s = tiny_grpo(folder_, 12);
  s.lora.r = 4;
  s.lora.target_modules = {"all-linear"};
  s.loss.beta = 0.02;
  run_grpo(s, folder_.path() / "run");
  const std::vector<Json> steps = lines(folder_.path() / "run/metrics.jsonl");
  EXPECT_EQ(steps.front().at("kl").get<double>(), 0.0);
  EXPECT_GT(steps.back().at("kl").get<double>(), 0.0);
  EXPECT_GT(steps.back().at("reward").get<double>(), steps.front().at("reward").get<double>());
  EXPECT_TRUE(fs::exists(folder_.path() / "run/model/adapter_model.safetensors"));
}

TEST_F(GrpoTest, TruncatedCompletionsCanBeLeftOutOfTheLoss) {
  GrpoSettings s = tiny_grpo(folder_, 1);
  s.mask_truncated_completions = true;
  RunFolder run(folder_.path() / "run", false);
  const auto algorithm = make_grpo(s, "grpo.json", run);
  auto& grpo = dynamic_cast<Grpo&>(*algorithm);
  const Batch batch = grpo.collect(0);
  std::vector<bool> trained(16, false);
  for (int64_t i = 0; i < batch.sequences.targets.row.size(0); ++i)
    trained[static_cast<size_t>(batch.sequences.targets.row[i].item<int64_t>())] = true;
  int64_t cut = 0;
  for (size_t i = 0; i < 16; ++i) {
    cut += grpo.rollouts()[i].finish == Finish::length;
    EXPECT_EQ(trained[i], grpo.rollouts()[i].finish == Finish::stop);
  }
  EXPECT_GT(cut, 0);
  EXPECT_LT(cut, 16);
}

TEST_F(GrpoTest, SaysWhyAStepCannotTeachAnything) {
  GrpoSettings s = tiny_grpo(folder_, 1);
  s.max_completion_length = 1;
  s.reward.text = R"({"use": "length"})";  // every completion has one token
  std::string said;
  const log::Sink before =
      log::set_sink([&](log::Level, const std::string& text) { said += text + "\n"; });
  RunFolder run(folder_.path() / "run", false);
  make_grpo(s, "grpo.json", run)->collect(0);
  log::set_sink(before);
  EXPECT_NE(said.find("of the completions were cut at max_completion_length=1 and in 100 % of the "
                      "groups all rewards are equal"),
            std::string::npos)
      << said;
  EXPECT_NE(said.find("raise max_completion_length"), std::string::npos);
}

TEST_F(GrpoTest, NormalizeThenSumUsesTheComponents) {
  GrpoSettings s = tiny_grpo(folder_, 1);
  s.reward.text = R"({"use": "sum", "of": [{"use": "test_likes_b"}, {"use": "length"}]})";
  s.reward_weights = {1.0, 0.25};
  s.multi_objective_aggregation = "normalize_then_sum";
  RunFolder run(folder_.path() / "run", false);
  const Tensor advantage = make_grpo(s, "grpo.json", run)->collect(0).columns.at("advantage");
  EXPECT_NEAR(advantage.mean().item<double>(), 0.0, 1e-5);  // normalised over the batch
  EXPECT_NEAR(advantage.std().item<double>(), 1.0, 1e-3);
  s.reward.text = R"({"use": "min", "of": [{"use": "test_likes_b"}, {"use": "length"}]})";
  EXPECT_NE(refusal(Kind::settings, [&] { make_grpo(s, "grpo.json", run)->collect(0); })
                .find("needs a reward of kind \"sum\""),
            std::string::npos);
  s.reward_weights = {1.0};
  EXPECT_EQ(refusal(Kind::settings, [&] { make_grpo(s, "grpo.json", run); }),
            "grpo.json: key reward_weights: must have one number for each of the 2 rewards, got 1");
}

TEST(GrpoPlan, FollowsTrlsBatchSizes) {
  GrpoSettings s;
  s.train.per_device_train_batch_size = 16;
  s.train.gradient_accumulation_steps = 2;
  GrpoPlan plan = plan_grpo(s, "grpo.json");
  EXPECT_EQ(plan.prompts, 4);
  EXPECT_EQ(plan.minibatches, 1);
  s.steps_per_generation = 6;
  s.num_iterations = 2;
  plan = plan_grpo(s, "grpo.json");
  EXPECT_EQ(plan.prompts, 12);
  EXPECT_EQ(plan.minibatches, 3);
  EXPECT_EQ(plan.steps(), 6);
  s.steps_per_generation.reset();
  s.generation_batch_size = 64;
  EXPECT_EQ(plan_grpo(s, "grpo.json").minibatches, 2);
}

TEST(GrpoPlan, RefusesWhatDoesNotAddUp) {
  const auto text = [](const std::function<void(GrpoSettings&)>& change) {
    GrpoSettings s;
    change(s);
    return refusal(Kind::settings, [&] { plan_grpo(s, "grpo.json"); });
  };
  EXPECT_EQ(text([](GrpoSettings& s) { s.num_generations = 3; }),
            "grpo.json: key num_generations: must divide the completions of an optimizer step, "
            "per_device_train_batch_size x "
            "gradient_accumulation_steps = 8, got 3");
  EXPECT_EQ(text([](GrpoSettings& s) { s.generation_batch_size = 12; }),
            "grpo.json: key generation_batch_size: one collect must feed whole optimizer steps of "
            "8 completions, but has 12");
  EXPECT_EQ(
      text([](GrpoSettings& s) { s.generation_batch_size = 16, s.steps_per_generation = 2; }),
      "grpo.json: key steps_per_generation: must not be given together with generation_batch_size");
  EXPECT_EQ(text([](GrpoSettings& s) { s.sync_ref_model = true; }),
            "grpo.json: key sync_ref_model: needs beta above 0: without it there is no reference");
  EXPECT_EQ(text([](GrpoSettings& s) { s.loss.loss_type = "cispo"; }),
            "grpo.json: key epsilon_high: must be given with loss_type cispo, where it is the "
            "largest ratio itself (5.0 is usual)");
}

}  // namespace
}  // namespace guerdon::train
