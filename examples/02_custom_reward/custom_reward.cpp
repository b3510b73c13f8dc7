// A reward of one's own, and a policy trained against it: custom_reward MODEL PROMPTS OUTPUT
#include <cmath>
#include <iostream>
#include <sstream>

#include "guerdon/base/log.h"
#include "guerdon/reward/registry.h"
#include "guerdon/train/grpo.h"
#include "guerdon/train/trainer.h"

namespace {

/// 1 for a response of exactly `words` words, less by 1 / words for each one too many or too few;
/// never below 0. No opinion about a response that was cut off.
class WordCount final : public guerdon::Reward {
 public:
  struct Options {
    int64_t words = 4;
  };
  explicit WordCount(const Options& options) : options_(options) {}

  guerdon::Scores score(const guerdon::RewardBatch& batch) override {
    return guerdon::score_each(batch, [&](const guerdon::Rollout& rollout) -> std::optional<float> {
      if (rollout.finish == guerdon::Finish::length) return std::nullopt;
      std::istringstream text(rollout.text);
      int64_t count = 0;
      for (std::string word; text >> word;) ++count;
      const auto wanted = static_cast<float>(options_.words);
      return std::max(0.0f, 1.0f - std::abs(static_cast<float>(count) - wanted) / wanted);
    });
  }

 private:
  Options options_;
};

void describe(guerdon::SettingList& field, WordCount::Options& options) {
  field("words", options.words, "Words that a response should have", {.min = 1});
}

GUERDON_REGISTER_REWARD("word_count", WordCount);

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 4) throw std::invalid_argument("three arguments: MODEL PROMPTS OUTPUT");
  guerdon::log::set_sink(guerdon::log::standard_sink());

  guerdon::train::GrpoSettings settings;  // the struct behind `guerdon config grpo`
  settings.train.model_name_or_path = argv[1];
  settings.train.data.train = {argv[2]};
  settings.train.learning_rate = 1e-3;
  settings.train.per_device_train_batch_size = 64;  // completions: 8 prompts with 8 each
  settings.train.max_steps = 60;
  settings.max_completion_length = 24;
  settings.loss.beta = 0.02;  // weight of the KL term
  settings.reward.text = R"({"use": "sum", "of": [{"use": "word_count", "words": 4},
                                                  {"use": "length", "weight": 0}]})";

  const auto result = guerdon::train::run_training(settings, {.method = "grpo", .output = argv[3]});
  std::cout << "model: " << result.model.string() << "\n";
  for (const auto& [name, value] : result.last) {
    if (name == "reward" || name == "rewards/length/mean" || name == "kl")
      std::cout << name << " " << value << "\n";
  }
} catch (const std::exception& e) {
  std::cerr << e.what() << "\n";
  return 1;
}
