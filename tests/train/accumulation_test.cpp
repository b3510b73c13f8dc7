// Accumulation is a speed knob: loss and gradient of 1 x 8, 8 x 1 and a shuffled 3 + 5 agree.
// A new algorithm is one line in cases().
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <list>
#include <nlohmann/json.hpp>

#include "guerdon/optim/optimizer.h"
#include "guerdon/train/features.h"
#include "guerdon/train/gradients.h"
#include "guerdon/train/trainer.h"
#include "support/data.h"
#include "support/temporary.h"
#include "train/tiny_policy.h"
#include "train/toy.h"
#include "train/vector_rows.h"

namespace guerdon::train {
namespace {

struct Case {
  std::string name;
  std::function<std::unique_ptr<Algorithm>()> make;  ///< whose first collect has 8 groups
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

/// Ten responses with two ratings, of which some are missing.
std::string rated_rows(const test::TemporaryFolder& folder) {
  std::string rows;
  for (int i = 0; i < 10; ++i) {
    rows += Json{{"prompt", "red but"},
                 {"completion", i % 2 == 0 ? " a dog sleeps." : " slowly the river!"},
                 {"a", i % 4},
                 {"b", i % 3 == 0 ? Json(nullptr) : Json(i % 5)}}
                .dump() +
            "\n";
  }
  return folder.file("rated.jsonl", rows).string();
}

/// Ten lists of two to four responses; the values of one are equal.
std::string ranked_rows(const test::TemporaryFolder& folder) {
  const std::vector<std::string> words = {" a dog", " slowly the river!", " me", " tree falls"};
  std::string rows;
  for (size_t i = 0; i < 10; ++i) {
    Json row = {{"prompt", "red but"}, {"responses", Json::array()}, {"scores", Json::array()}};
    for (size_t k = 0; k < 2 + i % 3; ++k) {
      row["responses"].push_back(words[(i + k) % 4]);
      row["scores"].push_back(i == 3 ? 1.0 : static_cast<double>((i * 7 + k * 3) % 5));
    }
    rows += row.dump() + "\n";
  }
  return folder.file("ranked.jsonl", rows).string();
}

/// A method of the library on a tiny model, 8 groups a step. It lives as long as its settings.
std::unique_ptr<Algorithm> of_method(const std::string& name, Json more = Json::object()) {
  static std::vector<std::unique_ptr<Trainer>> trainers;
  static const test::TemporaryFolder folder;
  const bool ratings = more.contains("attributes");
  const bool lists = more.contains("loss_type") && more["loss_type"] == "plackett_luce";
  more["model_name_or_path"] =
      test::fixture(name == "reward" && !ratings ? "trl/reward_model" : "trl/model").string();
  more["data"]["train"] =
      ratings ? rated_rows(folder)
      : lists
          ? ranked_rows(folder)
          : test::fixture(name == "sft" ? "trl/conversations.jsonl" : "trl/chats.jsonl").string();
  trainers.push_back(method(name).make());
  apply_settings(trainers.back()->settings(), more, "settings");
  RunFolder run(folder.path() / std::to_string(trainers.size()), false);
  return trainers.back()->build("settings", run);
}

/// A head on ten pairs of vectors.
std::unique_ptr<Algorithm> features() {
  static const test::TemporaryFolder folder;
  static FeatureSettings settings;
  static RunFolder run(folder.path() / "run", false);
  test::make_vectors(folder, "v", 10, 1);
  settings.train.data.train = {test::vector_rows(folder, "v", 10)};
  settings.train.per_device_train_batch_size = 8;
  settings.loss.center_rewards_coefficient = 0.01;
  return make_features(settings, "features.json", run);
}

/// 8 groups of 2 completions of the tiny policy.
std::unique_ptr<Algorithm> grpo(const std::function<void(GrpoSettings&)>& change) {
  static const test::TemporaryFolder folder;
  if (!std::filesystem::exists(folder.path() / "policy")) test::make_tiny_policy(folder);
  static std::list<GrpoSettings> settings;  // an algorithm refers to its own
  static RunFolder run(folder.path() / "run", false);
  GrpoSettings& s = settings.emplace_back(test::tiny_grpo(folder, 1));
  s.num_generations = 2;
  change(s);
  return make_grpo(s, "grpo.json", run);
}

std::vector<Case> cases() {
  return {
      {"sft", [] { return of_method("sft"); }},
      {"sft_dft",
       [] {
         return of_method("sft", {{"loss_type", "dft"}});
       }},
      {"reward",
       [] {
         return of_method("reward", {{"center_rewards_coefficient", 0.01}});
       }},
      {"reward_dynamic_labels",
       [] {
         return of_method("reward", {{"label_smoothing", 0.1}, {"dynamic_label_rate", 0.3}});
       }},
      {"reward_lists",
       [] {
         return of_method("reward", {{"loss_type", "plackett_luce"}, {"list_temperature", 0.5}});
       }},
      {"reward_ratings",
       [] {
         return of_method("reward", {{"loss_type", "huber"}, {"attributes", {"a", "b"}}});
       }},
      {"features", features},
      {"reward_ensemble",
       [] {
         return of_method("reward", {{"new_head", true},
                                     {"uncertainty", "sampled"},
                                     {"dynamic_label_rate", 0.3},
                                     {"ensemble", {{"members", 3}, {"row_share", 0.6}}}});
       }},
      {"dpo",
       [] {
         return of_method("dpo", {{"loss_type", {"sigmoid", "ipo", "sft"}}});
       }},
      {"dpo_aot",
       [] {
         return of_method("dpo", {{"loss_type", "aot"}});
       }},
      {"dpo_ld",
       [] {
         return of_method("dpo", {{"ld_alpha", 0.3}, {"use_weighting", true}});
       }},
      {"toy", [] { return std::make_unique<test::Toy>(test::Toy::Options{}); }},
      {"toy_whole_batch",
       [] { return std::make_unique<test::Toy>(test::Toy::Options{.whole_batch = true}); }},
      {"grpo", [] { return grpo([](GrpoSettings&) {}); }},
      {"grpo_sequence_kl",
       [] {
         return grpo([](GrpoSettings& s) {
           s.loss = {.loss_type = "grpo", .importance_sampling_level = "sequence", .beta = 0.1};
           s.num_iterations = 2;
         });
       }},
      {"grpo_top_entropy",
       [] { return grpo([](GrpoSettings& s) { s.loss.top_entropy_quantile = 0.3; }); }},
  };
}

class Accumulation : public testing::TestWithParam<Case> {};

struct Found {
  StepLoss step;
  std::vector<Tensor> gradients;
};

Found run(Algorithm& algorithm, const Batch& batch, const MicroBatches& micro) {
  optim::AdamW optimizer(optim::trained_parameters([&](Parts& p) { algorithm.parts(p); }), {});
  Found found{accumulate(algorithm, batch, micro), optimizer.gradients()};
  for (Tensor& gradient : found.gradients) {
    if (gradient.defined()) gradient = gradient.clone();
  }
  optimizer.zero_grad();
  return found;
}

void expect_equal(const Found& a, const Found& b, const std::string& what) {
  const auto near = [&](double x, double y) {
    EXPECT_NEAR(x, y, 1e-6 * std::max(1.0, std::abs(x))) << what;
  };
  near(a.step.loss, b.step.loss);
  ASSERT_EQ(a.step.metrics.size(), b.step.metrics.size());
  for (size_t i = 0; i < a.step.metrics.size(); ++i) {
    EXPECT_EQ(a.step.metrics[i].first, b.step.metrics[i].first);
    near(a.step.metrics[i].second, b.step.metrics[i].second);
  }
  const double norm = optim::gradient_norm(a.gradients);
  EXPECT_GT(norm, 0.0);
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    ASSERT_EQ(a.gradients[i].defined(), b.gradients[i].defined());
    if (!a.gradients[i].defined()) continue;
    EXPECT_LE((a.gradients[i] - b.gradients[i]).norm().item<double>(), 1e-6 * norm) << what;
  }
}

TEST_P(Accumulation, IsASpeedKnob) {
  const std::unique_ptr<Algorithm> algorithm = GetParam().make();
  const Batch batch = algorithm->collect(0);
  ASSERT_EQ(batch.group.size(), 9u) << "the case needs 8 groups";
  const Found whole = run(*algorithm, batch, {.groups = 8});
  expect_equal(whole, run(*algorithm, batch, {.groups = 1}), "8 x 1");
  expect_equal(whole, run(*algorithm, batch, {.tokens = 20}), "by tokens");
  const std::vector<int64_t> shuffled = {5, 2, 7, 0, 6, 1, 3, 4};
  expect_equal(whole, run(*algorithm, take(batch, shuffled), {.groups = 5}), "shuffled 5 + 3");
}

INSTANTIATE_TEST_SUITE_P(Algorithms, Accumulation, testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name; });

TEST(Cut, GoesByGroupsOrByTokensAndNeverSplitsAGroup) {
  test::Toy toy({});
  const Batch batch = toy.collect(0);
  EXPECT_EQ(cut(batch, {.groups = 3}).size(), 3u);
  EXPECT_EQ(cut(batch, {.tokens = 1}).size(), 8u);
  EXPECT_EQ(cut(batch, {.tokens = 100000}).size(), 1u);
  int64_t total = 0;
  for (const auto& part : cut(batch, {.tokens = 30})) {
    const int64_t tokens = take(batch, part).sequences.tokens.size(0);
    EXPECT_TRUE(tokens <= 30 || part.size() == 1);
    total += tokens;
  }
  EXPECT_EQ(total, batch.sequences.tokens.size(0));
}

TEST(Evaluate, IsOverTheSetAsAWhole) {
  test::Toy toy({.evaluates = true});
  std::optional<Totals> totals;
  const StepLoss found = evaluate(toy, "eval", totals);
  ASSERT_TRUE(totals);
  EXPECT_EQ(totals->groups, 9);
  // By hand: shares of the three batches under the set's totals.
  double loss = 0.0;
  for (int64_t i = 0; i < 3; ++i) {
    const Batch batch = *toy.evaluation("eval", i);
    loss += toy.loss(toy.forward(batch), batch, *totals).value.item<double>();
  }
  EXPECT_NEAR(found.loss, loss, 1e-6);
  EXPECT_EQ(evaluate(toy, "eval", totals).loss, found.loss);
  EXPECT_FALSE(toy.model().head.grad().defined());
}

}  // namespace
}  // namespace guerdon::train
