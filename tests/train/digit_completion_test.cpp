// A real untrained model on a task with a known answer: the next numbers of an arithmetic sequence.
// (verl's own reward, which ends at the first wrong character, takes PPO hundreds of epochs; this
// one shows the first things to learn, digits and commas in turn, in 20 steps.)
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "guerdon/base/file.h"
#include "guerdon/base/signals.h"
#include "guerdon/train/loop.h"
#include "support/data.h"
#include "train/tiny_policy.h"

namespace guerdon::test {

/// Share of the characters that are right, place by place.
struct RightCharacters final : Reward {
  Scores score(const RewardBatch& batch) override {
    return score_each(batch, [](const Rollout& r) {
      const std::string gold = r.example->fields.text("gold");
      size_t right = 0;
      for (size_t i = 0; i < std::min(gold.size(), r.text.size()); ++i)
        right += gold[i] == r.text[i];
      const size_t longest = std::max({gold.size(), r.text.size(), size_t{1}});
      return std::optional(static_cast<float>(right) / static_cast<float>(longest));
    });
  }
};
GUERDON_REGISTER_REWARD("test_right_characters", RightCharacters);

}  // namespace guerdon::test

namespace guerdon::train {
namespace {

namespace fs = std::filesystem;

/// The model beside a tokenizer.json of its characters, and rows whose prompts end with the
/// separator.
class DigitCompletion : public testing::Test {
 protected:
  void prepare() {
    const fs::path data = test::data_folder() / "tiny-models/digit-completion";
    const fs::path policy = folder_.path() / "policy";
    fs::create_directories(policy);
    for (const char* name : {"config.json", "generation_config.json", "model.safetensors"})
      fs::copy_file(data / name, policy / name);
    folder_.file("policy/tokenizer.json",
                 test::character_tokenizer({"S", "E", "P", "U"}, "0123456789,:").dump());
    folder_.file("policy/tokenizer_config.json",
                 R"({"eos_token": "E", "pad_token": "P", "unk_token": "U"})");
    std::string rows;
    for (Json row : lines(data / "train.jsonl")) {
      row["prompt"] = row["prompt"].get<std::string>() + "S";
      rows += row.dump() + "\n";
    }
    folder_.file("prompts.jsonl", rows);
    expected_ = lines(data / "expected.jsonl");
  }
  static std::vector<Json> lines(const fs::path& file) {
    std::vector<Json> out;
    std::istringstream text(read_file(file));
    for (std::string line; std::getline(text, line);)
      out.push_back(parse_json(line, file.string()));
    return out;
  }
  test::TemporaryFolder folder_;
  std::vector<Json> expected_;
};

TEST_F(DigitCompletion, GreedyAnswersAreThoseOfTheFloat64Reference) {
  GUERDON_NEEDS_DATA("tiny-models/digit-completion");
  prepare();
  const auto decoder = model::load_decoder(folder_.path() / "policy");
  const text::Tokenizer tokenizer = text::Tokenizer::load(folder_.path() / "policy");
  std::vector<generate::Prompt> prompts;
  for (const Json& row : expected_) {
    prompts.push_back({.example = nullptr,
                       .tokens = tokenizer.encode(row.at("prompt").get<std::string>() + "S"),
                       .key = prompts.size()});
    EXPECT_EQ(prompts.back().tokens, row.at("prompt_ids").get<std::vector<int64_t>>());
  }
  generate::Engine engine(*decoder, tokenizer,
                          {.max_new_tokens = 12, .sampling = {.temperature = 0}});
  const std::vector<Rollout> rollouts = engine.sample(prompts, 1);
  for (size_t i = 0; i < rollouts.size(); ++i)
    EXPECT_EQ(rollouts[i].tokens, expected_[i].at("greedy_12").get<std::vector<int64_t>>()) << i;
}

TEST_F(DigitCompletion, GrpoLearns) {
  GUERDON_NEEDS_DATA("tiny-models/digit-completion");
  prepare();
  request_stop(0);
  GrpoSettings s;
  s.train.model_name_or_path = folder_.path() / "policy";
  s.train.data.train = {(folder_.path() / "prompts.jsonl").string()};
  s.train.learning_rate = 1e-3;
  s.train.schedule.lr_scheduler_type = "constant";
  s.train.per_device_train_batch_size = 128;
  s.train.max_steps = 20;
  s.train.save_strategy = "no";
  s.num_generations = 8;
  s.max_completion_length = 16;
  s.slots = 128;
  s.reward.text = R"({"use": "test_right_characters"})";
  RunFolder run(folder_.path() / "run", false);
  const auto grpo = make_grpo(s, "grpo.json", run);
  train(*grpo, s.train, run, {.command = "train grpo"});
  const std::vector<Json> steps = lines(folder_.path() / "run/metrics.jsonl");
  const auto mean = [&](size_t begin, size_t end) {
    double sum = 0;
    for (size_t i = begin; i < end; ++i) sum += steps[i].at("reward").get<double>();
    return sum / static_cast<double>(end - begin);
  };
  const double first = mean(0, 2), last = mean(15, 20);
  EXPECT_GT(last, 3 * first) << first << " -> " << last;
  for (const Json& step : steps) EXPECT_LE(step.at("sampling/logp_difference").get<double>(), 1e-5);
}

}  // namespace
}  // namespace guerdon::train
