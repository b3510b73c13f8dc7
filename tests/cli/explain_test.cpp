// `guerdon explain`: formulas with the numbers of the settings.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "guerdon/base/json_reader.h"
#include "support/program.h"
#include "support/temporary.h"

namespace guerdon::cli {
namespace {

using test::Ran;
using test::run_guerdon;
using test::TemporaryFolder;

void expect_line(const std::string& out, const std::string& line) {
  EXPECT_NE(out.find("  " + line + "\n"), std::string::npos) << "no line \"" << line << "\" in\n"
                                                             << out;
}

TEST(ExplainCommand, DpoWithTheNumbersPutIn) {
  const TemporaryFolder folder;
  const auto file = folder.file("dpo.json", R"({ // comments are fine
    "loss_type": ["robust", "sft"], "loss_weights": [1, 0.5], "label_smoothing": 0.1, "beta": 0.2})");
  const Ran ran = run_guerdon("explain dpo --config " + file.string() + " beta=0.5");
  ASSERT_EQ(ran.code, 0);
  expect_line(
      ran.out,
      "1 x robust: (-(1 - e) log sg(h) + e log sg(-h)) / (1 - 2e)  =  (-0.9 log sg(h) + 0.1 "
      "log sg(-h)) / 0.8");
  expect_line(ran.out,
              "h = b (f(c) - f(r))  =  0.5 (f(c) - f(r)), f(x) = x (reverse_kl), sg the sigmoid");
  expect_line(ran.out, "P, the pairs of the whole optimizer step: L = sum over pairs / P");
  expect_line(ran.out,
              "plus 0.5 x the sum of -log p(token) over the chosen responses / their tokens in the "
              "step (sft)");
  expect_line(ran.out, "the starting model");
}

TEST(ExplainCommand, GrpoTellsTermDenominatorKlAndAdvantage) {
  const Ran plain = run_guerdon("explain grpo");
  ASSERT_EQ(plain.code, 0);
  expect_line(plain.out,
              "-min(r A, clip(r, (1 - epsilon), (1 + epsilon_high)) A)  =  -min(r A, clip(r, 0.8, "
              "1.2) A)");
  expect_line(plain.out, "A = (R - mean of its group) / (deviation of its group + epsilon)");
  expect_line(plain.out, "none: beta is 0, and no reference is loaded");
  expect_line(plain.out,
              "p_old = p: each collect feeds one update, so every r is 1 and nothing is clipped");

  const Ran other = run_guerdon(
      "explain grpo loss_type=dr_grpo scale_rewards=none beta=0.04 num_iterations=2 "
      "max_completion_length=100 gradient_accumulation_steps=2");
  ASSERT_EQ(other.code, 0);
  expect_line(other.out, "A = (R - mean of its group)");
  expect_line(other.out, "+ beta r k3  =  + 0.04 r k3, inside the loss of each token");
  expect_line(
      other.out,
      "sum over tokens / ((rows of the step) x max_completion_length)  =  sum over tokens / "
      "(16 x 100)");
  expect_line(other.out, "p_old: the trainer's own log-probs before the first update of a collect");
}

TEST(ExplainCommand, RewardAndSft) {
  const Ran reward = run_guerdon("explain reward center_rewards_coefficient=0.01");
  ASSERT_EQ(reward.code, 0);
  expect_line(reward.out,
              "-log sg(chosen - rejected - margin) + k (chosen + rejected)^2  =  -log sg(chosen - "
              "rejected - margin) + 0.01 (chosen + rejected)^2");
  const Ran sft = run_guerdon("explain sft loss_type=dft per_device_train_batch_size=4");
  ASSERT_EQ(sft.code, 0);
  expect_line(sft.out, "dft: -p(token) log p(token), with no gradient through the first factor");
  EXPECT_NE(sft.out.find("an optimizer step has 4 x 1 = 4 rows"), std::string::npos) << sft.out;
}

TEST(ExplainCommand, AsJson) {
  const Ran ran = run_guerdon("explain dpo --json");
  ASSERT_EQ(ran.code, 0);
  const Json json = parse_json(ran.out, "output");
  EXPECT_EQ(json["method"], "dpo");
  EXPECT_EQ(json["sections"][0]["title"], "loss of a pair");
  EXPECT_EQ(json["sections"][0]["lines"][0],
            "sigmoid: -(1 - e) log sg(h) - e log sg(-h)  =  -1 log sg(h) - 0 log sg(-h)");
}

TEST(ExplainCommand, RefusesWhatTrainRefuses) {
  const std::pair<const char*, const char*> refusals[] = {
      {"explain dop", "no method is called \"dop\" (did you mean \"dpo\"?)"},
      {"explain dpo bta=1", "key bta: no such setting"},
      {"explain dpo loss_type=exo_pair", "key label_smoothing: exo_pair needs a value above 0"},
      {"explain grpo num_generations=3", "key num_generations: must divide"},
  };
  for (const auto& [arguments, text] : refusals) {
    const Ran ran = run_guerdon(std::string(arguments) + " 2>&1");
    EXPECT_EQ(ran.code, 2) << arguments;
    EXPECT_NE(ran.out.find(text), std::string::npos) << ran.out;
  }
}

}  // namespace
}  // namespace guerdon::cli
