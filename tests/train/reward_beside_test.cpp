// What a reward model learns beside its objective.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "support/errors.h"
#include "train/reward_training.h"

namespace guerdon::train {
namespace {

namespace fs = std::filesystem;

class RewardBeside : public test::RewardTraining {
 protected:
  std::string plain() const {
    return pairs([](Json&, size_t) {});
  }
  /// Pairs the other way round: what they teach is what the others unteach.
  std::string reversed() const {
    return pairs([](Json& row, size_t) { std::swap(row["chosen"], row["rejected"]); });
  }
  /// The run killed after its first checkpoint, and resumed, is the run that was not.
  void expect_resumes(Json s) const {
    s["max_steps"] = 6;
    s["save_steps"] = 3;
    const fs::path whole = run(s), cut = run(s);
    fs::remove_all(cut / "checkpoints/step-000006");
    run(s, true, cut);
    for (const char* file :
         {"model/model.safetensors", "checkpoints/step-000006/state.safetensors"})
      EXPECT_EQ(read_file(cut / file), read_file(whole / file)) << file;
  }
  /// Losses and metrics do not depend on how a step is cut.
  void expect_cuts_change_nothing(Json s) const {
    s["max_steps"] = 3;
    const std::vector<Json> whole = metrics(run(s));
    s["micro_batch_tokens"] = 1;
    const std::vector<Json> rows = metrics(run(s));
    for (size_t i = 0; i < whole.size(); ++i) {
      for (const auto& [name, value] : whole[i].items()) {
        if (name == "step_time" || name == "tokens_per_second" || name == "peak_memory_mb")
          continue;
        const double x = value.get<double>();
        EXPECT_NEAR(rows[i][name].get<double>(), x, 2e-5 * std::max(1.0, std::abs(x)))
            << name << " of step " << i + 1;
      }
    }
  }
};

TEST_F(RewardBeside, ReplayBeginsWithNothing) {
  const Json alone = first_step(settings(plain()));
  const Json with = first_step(settings(plain(), {{"replay", {{"data", {reversed()}}}}}));
  EXPECT_EQ(with["replay/drift"], 0.0);
  EXPECT_EQ(with["loss"], alone["loss"]);
  EXPECT_EQ(with["grad_norm"], alone["grad_norm"]);
}

TEST_F(RewardBeside, ReplayHoldsScoresWhereTheyBegan) {
  const std::string replayed = reversed();
  const auto drift = [&](double weight) {
    const Json s = settings(
        plain(), {{"max_steps", 20},
                  {"replay", {{"data", {replayed}}, {"batch_size", 8}, {"weight", weight}}}});
    return metrics(run(s)).back()["replay/drift"].get<double>();
  };
  const double held = drift(1.0), free = drift(1e-9);
  EXPECT_GT(free, 0.1);
  EXPECT_LT(held, free / 4);
}

TEST_F(RewardBeside, ReplayTakesAnyTextsAndAnyObjective) {
  const std::string texts =
      folder_.file("texts.jsonl", "{\"text\": \"a dog sleeps\"}\n{\"text\": \"a cat\"}\n").string();
  const Json chain = {{"prompt", "red?"},
                      {"responses", {" a dog.", " old but!", " blue sings."}},
                      {"ranks", {1, 2, 3}}};
  const std::string lists = folder_.file("chains.jsonl", chain.dump() + "\n").string();
  const Json last = metrics(run(settings(lists, {{"loss_type", "ordered_chain"},
                                                 {"chain_weights", {0.3, 1, 0.3}},
                                                 {"score_penalty", 0.01},
                                                 {"per_device_train_batch_size", 1},
                                                 {"max_steps", 3},
                                                 {"replay", {{"data", {texts}}}}})))
                        .back();
  EXPECT_GT(last["replay/drift"].get<double>(), 0.0);
}

TEST_F(RewardBeside, ReplayResumesAndIsCutAsTheRestIs) {
  const Json s = settings(plain(), {{"replay", {{"data", {reversed()}}, {"batch_size", 3}}}});
  expect_resumes(s);
  expect_cuts_change_nothing(s);
}

TEST_F(RewardBeside, MetaLearningWithAStepOfNothingIsTheObjective) {
  const Json meta = {{"data", {reversed()}}, {"batch_size", 4}, {"step_size", 1e-12}};
  const Json alone = first_step(settings(plain()));
  const Json with = first_step(settings(plain(), {{"meta", meta}}));
  EXPECT_EQ(with["loss"], alone["loss"]);
  EXPECT_NEAR(with["grad_norm"].get<double>(), alone["grad_norm"].get<double>(), 1e-5);
  // Of two responses J = sigmoid(distance) / 2.
  EXPECT_GT(with["meta/separation"].get<double>(), 0.25);
  EXPECT_LT(with["meta/separation"].get<double>(), 0.5);
}

TEST_F(RewardBeside, MetaLearningTakesTheLossAStepAhead) {
  // Up the hill of these very pairs' separation their loss differs, to first order, by the product
  // of the two gradients.
  const std::string rows = pairs([](Json&, size_t) {}, 4);
  const Json meta = {{"data", {rows}}, {"batch_size", 4}, {"step_size", 0.05}};
  const Json alone = first_step(settings(rows)),
             with = first_step(settings(rows, {{"meta", meta}}));
  EXPECT_NE(with["loss"], alone["loss"]);
  EXPECT_NE(with["grad_norm"], alone["grad_norm"]);
  Json second = meta;
  second["second_order"] = true;
  const Json through = first_step(settings(rows, {{"meta", second}}));
  EXPECT_EQ(through["loss"], with["loss"]);
  EXPECT_EQ(through["meta/separation"], with["meta/separation"]);
  EXPECT_NE(through["grad_norm"], with["grad_norm"]);
}

TEST_F(RewardBeside, MetaLearningResumesAndIsCutAsTheRestIs) {
  std::string rows;
  for (const char* prompt : {"red?", "green?", "blue?"}) {
    rows +=
        Json{{"prompt", prompt}, {"responses", {" a dog.", " old but!", " blue sings."}}}.dump() +
        "\n";
  }
  const Json s = settings(plain(), {{"meta",
                                     {{"data", {folder_.file("samples.jsonl", rows).string()}},
                                      {"batch_size", 2},
                                      {"step_size", 0.01}}},
                                    {"replay", {{"data", {reversed()}}}}});
  expect_resumes(s);
  expect_cuts_change_nothing(s);
}

TEST_F(RewardBeside, ContrastiveTermsResumeAndAreCutAsTheRestIs) {
  for (const char* form : {"simcse", "swav"}) {
    for (const char* views : {"responses", "differences"}) {
      const Json s = settings(
          plain(), {{"contrastive",
                     {{"weight", 0.1}, {"form", form}, {"views", views}, {"prototypes", 4}}}});
      expect_cuts_change_nothing(s);
      expect_resumes(s);
    }
  }
}

TEST_F(RewardBeside, ContrastiveTermsAreMinimised) {
  const auto after = [&](double weight) {
    return metrics(
               run(settings(plain(), {{"max_steps", 30}, {"contrastive", {{"weight", weight}}}})))
        .back()["contrastive/loss"]
        .get<double>();
  };
  EXPECT_LT(after(1.0), 0.7 * after(1e-9));
}

TEST_F(RewardBeside, DifferencesAreOfPairs) {
  EXPECT_EQ(
      test::refusal(Kind::settings,
                    [&] {
                      run(settings("lists.jsonl",
                                   {{"loss_type", "plackett_luce"},
                                    {"contrastive", {{"weight", 1}, {"views", "differences"}}}}));
                    }),
      "settings.json: key contrastive.views: is of pairs, and loss_type is \"plackett_luce\"");
}

TEST_F(RewardBeside, SourcesOfWhichOneAsksForLessThanItsLengthCountMore) {
  Json s = settings("", {{"sources", {{"weighting", "least_norm"}, {"of_length_one", false}}},
                         {"train_sampling_strategy", "balanced"},
                         {"per_device_train_batch_size", 8}});
  s["data"]["train"] = {plain(), reversed()};
  const Json first = first_step(s);
  const double a = first["sources/0/weight"], b = first["sources/1/weight"];
  EXPECT_NEAR(a + b, 2.0, 1e-9);
  EXPECT_NE(a, b);
  s["sources"]["of_length_one"] = true;
  EXPECT_NEAR(first_step(s)["sources/0/weight"].get<double>(), 1.0, 1e-9);
}

TEST_F(RewardBeside, OneSourceInAStepIsTheObjective) {
  // In order, a step of four is of the first file alone.
  Json s = settings("");
  s["data"]["train"] = {plain(), reversed()};
  const Json alone = first_step(s);
  s["sources"]["weighting"] = "least_norm";
  const Json with = first_step(s);
  for (const char* name : {"loss", "grad_norm", "accuracy"}) EXPECT_EQ(with[name], alone[name]);
  EXPECT_EQ(with["sources/0/weight"], 1.0);
  EXPECT_EQ(with["sources/1/weight"], 0.0);
}

TEST_F(RewardBeside, SourcesResumeAndAreCutAsTheRestIs) {
  Json s = settings("", {{"sources", {{"weighting", "least_norm"}, {"of_length_one", false}}}});
  s["train_sampling_strategy"] = "balanced";
  s["data"]["train"] = {plain(), reversed()};
  expect_resumes(s);
  expect_cuts_change_nothing(s);
}

TEST_F(RewardBeside, APeerThatKeepsAllIsARunOfItsOwnBitForBit) {
  Json s = settings(plain(), {{"max_steps", 5}});
  s["model_name_or_path"] = test::fixture("trl/model").string();
  const fs::path alone = run(s);
  s["peer"] = {{"model_name_or_path", s["model_name_or_path"]}, {"noise", 0}};
  const fs::path with = run(s);
  EXPECT_EQ(read_file(with / "model/model.safetensors"),
            read_file(alone / "model/model.safetensors"));
  const std::vector<Json> both = metrics(with);
  EXPECT_EQ(both[4]["loss"], metrics(alone)[4]["loss"]);
  EXPECT_NE(both[4]["peer/loss"], both[4]["loss"]);
  EXPECT_EQ(both[4]["peer/keep_rate"], 1.0);
}

TEST_F(RewardBeside, PeersKeepTheCleanPairsOfTwoThatAreHalfWrong) {
  // Every third pair is the wrong way round; what both have learnt of the others says so.
  const std::string file = pairs([](Json& row, size_t i) {
    row["chosen"] = i % 3 == 2 ? " a dog sleeps." : " blue sings.";
    row["rejected"] = i % 3 == 2 ? " blue sings." : " a dog sleeps.";
    row["clean"] = i % 3 != 2;
  });
  Json s = settings(file, {{"max_steps", 40},
                           {"learning_rate", 1e-2},
                           {"per_device_train_batch_size", 6},
                           {"peer", {{"noise", 0.34}, {"warmup", 0.5}}}});
  s["model_name_or_path"] = test::fixture("trl/model").string();
  s["peer"]["model_name_or_path"] = s["model_name_or_path"];
  const std::vector<Json> lines = metrics(run(s));
  EXPECT_NEAR(lines[0]["peer/clean"].get<double>(), 4.0 / 6, 1e-9);
  EXPECT_GT(lines[lines.size() - 2]["peer/clean"].get<double>(), 0.9);
}

TEST_F(RewardBeside, PeersResumeAndAreCutAsTheRestIs) {
  Json s = settings(plain(), {{"peer", {{"noise", 0.5}, {"warmup", 0}}}});
  s["model_name_or_path"] = test::fixture("trl/model").string();
  s["peer"]["model_name_or_path"] = s["model_name_or_path"];
  expect_resumes(s);
  expect_cuts_change_nothing(s);
}

TEST_F(RewardBeside, ACurriculumGoesFromLargeMarginsToSmallAndResumes) {
  Json s = settings(plain(), {{"max_steps", 10},
                              {"train_sampling_strategy", "random"},
                              {"peer", {{"noise", 0}, {"buckets", 5}}}});
  s["model_name_or_path"] = test::fixture("trl/model").string();
  s["peer"]["model_name_or_path"] = s["model_name_or_path"];
  const std::vector<Json> lines = metrics(run(s));
  // Five steps an epoch: the second begins with the pairs that the first has taught best.
  const auto margin = [&](size_t step) {
    return lines[step]["margin"].get<double>() + lines[step]["peer/margin"].get<double>();
  };
  EXPECT_GT(margin(5), margin(7));
  EXPECT_GT(margin(7), margin(9));
  s["max_steps"] = 8;
  s["save_steps"] = 7;
  const fs::path whole = run(s), cut = run(s);
  fs::remove_all(cut / "checkpoints/step-000008");
  run(s, true, cut);
  EXPECT_EQ(read_file(cut / "model/model.safetensors"),
            read_file(whole / "model/model.safetensors"));
}

TEST_F(RewardBeside, PeersThatAreTheSameAreRefused) {
  Json s = settings(plain());
  s["peer"]["model_name_or_path"] = s["model_name_or_path"];
  EXPECT_EQ(test::refusal(Kind::settings, [&] { run(s); }),
            "settings.json: key peer.model_name_or_path: its head is that of model_name_or_path: "
            "two models that are the same keep the same pairs");
}

TEST_F(RewardBeside, SettingsOfAGroupWithoutDataAreRefused) {
  EXPECT_EQ(test::refusal(Kind::settings,
                          [&] {
                            run(settings(plain(), {{"replay", {{"weight", 2}}}}));
                          }),
            "settings.json: key replay.weight: does nothing without replay.data");
  EXPECT_EQ(test::refusal(Kind::settings,
                          [&] {
                            run(settings(plain(), {{"peer", {{"noise", 0.1}}}}));
                          }),
            "settings.json: key peer.noise: does nothing without peer.model_name_or_path");
  EXPECT_EQ(
      test::refusal(Kind::settings,
                    [&] {
                      run(settings(plain(), {{"sources", {{"weighting", "least_norm"}}}}));
                    }),
      "settings.json: key sources.weighting: weighs files of pairs, and data.train names one");
}

}  // namespace
}  // namespace guerdon::train
