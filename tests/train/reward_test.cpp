// What the fields of the rows do to a reward model's training.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <tuple>

#include "guerdon/base/file.h"
#include "guerdon/model/reward_model.h"
#include "support/errors.h"
#include "train/reward_training.h"

namespace guerdon::train {
namespace {

namespace fs = std::filesystem;
using test::RewardTraining;

TEST_F(RewardTraining, StrengthScalesTheLoss) {
  const std::string file = pairs([](Json& row, size_t) { row["strength"] = 2; });
  EXPECT_NEAR(first_loss(settings(file, {{"strength", "scale"}})), 2 * first_loss(settings(file)),
              1e-6);
}

TEST_F(RewardTraining, APairOfWeightZeroIsNotThere) {
  const std::string all = pairs([](Json& row, size_t i) { row["weight"] = i < 2 ? 1 : 0; });
  const std::string two = pairs([](Json&, size_t) {}, 2);
  const Json weighted = first_step(settings(all, {{"row_weights", true}})),
             alone = first_step(settings(two));
  for (const char* name : {"loss", "accuracy", "margin", "grad_norm"})
    EXPECT_NEAR(weighted[name].get<double>(), alone[name].get<double>(), 1e-6) << name;
}

TEST_F(RewardTraining, ATieIsNeitherRightNorWrong) {
  const std::string tied = pairs([](Json& row, size_t i) { row["tie"] = i % 2 == 1; });
  const std::string ordered =
      pairs([](Json& row, size_t i) { row["weight"] = i % 2 == 1 ? 0 : 1; });
  const Json with = first_step(settings(tied, {{"ties", "rao_kupper"}})),
             without = first_step(settings(ordered, {{"row_weights", true}}));
  EXPECT_EQ(with["accuracy"], without["accuracy"]);
  EXPECT_NE(with["loss"], without["loss"]);
}

TEST_F(RewardTraining, AnyColumnCanStandForAField) {
  const std::string file = pairs([](Json& row, size_t) { row["how_much"] = 3; });
  Json s = settings(file, {{"strength", "margin"}});
  s["data"]["columns"] = {"strength=how_much"};
  const std::string margins = pairs([](Json& row, size_t) { row["margin"] = 3; });
  EXPECT_NEAR(first_loss(s), first_loss(settings(margins)), 1e-6);
}

TEST_F(RewardTraining, RefusesRowsBeforeTheFirstStep) {
  const auto refused = [&](const std::string& file, const Json& more) {
    return test::refusal(Kind::input, [&] { run(settings(file, more)); });
  };
  const std::string none = pairs([](Json& row, size_t i) {
    if (i != 7) row["strength"] = 1;
  });
  EXPECT_EQ(refused(none, {{"strength", "scale"}}), none + ":8: field \"strength\" is missing");
  const std::string negative =
      pairs([](Json& row, size_t i) { row["strength"] = i == 3 ? -1 : 1; });
  EXPECT_EQ(refused(negative, {{"strength", "scale"}}),
            negative + ":4: field \"strength\" must be greater than 0, got -1");
  const std::string text = pairs([](Json& row, size_t i) {
    if (i == 0) row["tie"] = "yes";
  });
  EXPECT_EQ(refused(text, {{"ties", "win_tie"}}),
            text + ":1: field \"tie\" must be a number, got \"yes\"");
  EXPECT_NE(test::refusal(Kind::settings,
                          [&] {
                            run(settings(text, {{"loss_type", "probit"}, {"ties", "rao_kupper"}}));
                          })
                .find("settings.json: key ties"),
            std::string::npos);
}

TEST_F(RewardTraining, SettingsOfOtherObjectivesAreRefused) {
  const auto refused = [&](const Json& more) {
    return test::refusal(Kind::settings, [&] { run(settings("rows.jsonl", more)); });
  };
  EXPECT_EQ(refused({{"loss_type", "mse"}}),
            "settings.json: key attributes: must name the fields that mse learns");
  EXPECT_EQ(refused({{"loss_type", "mse"}, {"attributes", {"a"}}, {"label_smoothing", 0.1}}),
            "settings.json: key label_smoothing: is of pairs, and loss_type is \"mse\"");
  EXPECT_EQ(refused({{"attributes", {"a"}}}),
            "settings.json: key attributes: is of ratings, and loss_type is \"bradley_terry\"");
  EXPECT_EQ(refused({{"loss_type", "mse"}, {"attributes", {"a", "b"}}, {"score_weights", {1.0}}}),
            "settings.json: key score_weights: has 1 weights for 2 attributes");
  EXPECT_EQ(refused({{"loss_type", "mse"}, {"attributes", {"a", "a"}}}),
            "settings.json: key attributes: names a field twice");
}

TEST_F(RewardTraining, RatingsAreLearntByHeartWhereTheyAreThere) {
  std::string rows;
  for (const auto& [text, quality, length] :
       {std::tuple(" blue sings.", Json(4), Json(1)),
        std::tuple(" old but!", Json(0), Json(nullptr)),
        std::tuple(" tree falls.", Json(-100), Json(2)), std::tuple(" a cat.", Json(2), Json(1))})
    rows += Json{{"prompt", "red?"}, {"completion", text}, {"quality", quality}, {"length", length}}
                .dump() +
            "\n";
  Json s =
      settings(folder_.file("rated.jsonl", rows).string(), {{"loss_type", "mse"},
                                                            {"attributes", {"quality", "length"}},
                                                            {"score_weights", {1.0, -0.5}},
                                                            {"max_steps", 150},
                                                            {"learning_rate", 1e-2}});
  const fs::path output = run(s);
  std::istringstream text(read_file(output / "metrics.jsonl"));
  Json last;
  for (std::string line; std::getline(text, line);) last = parse_json(line, "metrics.jsonl");
  EXPECT_LT(last["loss"].get<double>(), 0.05);
  EXPECT_LT(last["mse/quality"].get<double>(), 0.05);

  const auto saved = model::load_reward_model(output);
  EXPECT_EQ(saved->readout().names, (std::vector<std::string>{"quality", "length"}));
  EXPECT_EQ(saved->readout().weights, (std::vector<double>{1.0, -0.5}));

  // Bradley-Terry goes on from it with one output.
  Json pair = settings(pairs([](Json&, size_t) {}), {{"learning_rate", 1e-9}});
  pair["model_name_or_path"] = output.string();
  const auto one = model::load_reward_model(run(pair));
  EXPECT_EQ(one->head_weight().size(0), 1);
  const std::vector<Sequence> tokens = {{.tokens = {5, 6, 7}}, {.tokens = {9, 4, 4, 8}}};
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(
      at::allclose(one->scores(pack(tokens, {})), saved->scores(pack(tokens, {})), 1e-4, 1e-4));
}

TEST_F(RewardTraining, HeadsWithMoreThanOneNumberForARating) {
  const std::string file = folder_
                               .file("rated.jsonl", R"({"prompt": "a", "completion": "b", "x": 1}
{"prompt": "a", "completion": "c", "x": 3}
)")
                               .string();
  const auto readout = [&](const Json& more) {
    Json s = more;
    s["attributes"] = {"x"};
    return model::load_reward_model(run(settings(file, s)))->readout();
  };
  const model::Readout gaussian = readout({{"loss_type", "gaussian"}, {"least_deviation", 0.25}});
  EXPECT_EQ(gaussian.labels(), (std::vector<std::string>{"x", "x/raw_deviation"}));
  EXPECT_EQ(gaussian.output_weights(), (std::vector<double>{1, 0}));
  EXPECT_EQ(gaussian.form.least_deviation, 0.25);
  EXPECT_EQ(readout({{"loss_type", "quantile"}, {"quantiles", {0.25, 0.75}}}).labels(),
            (std::vector<std::string>{"x/0.25", "x/0.75"}));
  const model::Readout classes = readout({{"loss_type", "classes"}, {"classes", {1, 2, 3}}});
  EXPECT_EQ(classes.form.points, (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(test::refusal(Kind::input,
                          [&] {
                            readout({{"loss_type", "classes"}, {"classes", {1, 2}}});
                          }),
            file + ":2: a rating of 3 lies outside [1, 2]");
}

TEST_F(RewardTraining, AnAdapterHasAHeadOfSeveralOutputs) {
  const std::string file = folder_
                               .file("rated.jsonl", R"({"prompt": "a", "completion": "b", "x": 1}
{"prompt": "a", "completion": "c", "x": 3, "y": 2}
)")
                               .string();
  const fs::path output = run(settings(file, {{"loss_type", "gaussian"},
                                              {"attributes", {"x", "y"}},
                                              {"score_weights", {0.75, 0.25}},
                                              {"lora", {{"r", 2}}},
                                              {"max_steps", 5}}));
  EXPECT_TRUE(fs::exists(output / "model/adapter_config.json"));
  const auto opened = model::load_reward_model(output);
  EXPECT_EQ(opened->readout().names, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(opened->readout().weights, (std::vector<double>{0.75, 0.25}));
  EXPECT_EQ(opened->readout().form.name, "gaussian");
  const Tensor stored = model::load_reward_model(output / "model")->head_weight();
  EXPECT_TRUE(at::equal(stored, opened->head_weight()));
}

TEST_F(RewardTraining, YesAndNoToAQuestionAreLearntByHeart) {
  std::string rows;
  for (const auto& [principle, label] : {std::pair("short", true), std::pair("kind", false)}) {
    for (const char* text : {" blue sings.", " a cat."})
      rows +=
          Json{{"prompt", "red?"}, {"completion", text}, {"principle", principle}, {"label", label}}
              .dump() +
          "\n";
  }
  const fs::path output = run(settings(folder_.file("rows.jsonl", rows).string(),
                                       {{"loss_type", "bce"},
                                        {"attributes", {"label"}},
                                        {"contrast", {"Y", "N"}},
                                        {"question", "{prompt}{response} Is it {principle}?"},
                                        {"max_steps", 60},
                                        {"learning_rate", 1e-2}}));
  std::istringstream text(read_file(output / "metrics.jsonl"));
  Json last;
  for (std::string line; std::getline(text, line);) last = parse_json(line, "metrics.jsonl");
  EXPECT_EQ(last["accuracy/label"], 1.0);
  EXPECT_LT(last["loss"].get<double>(), 0.1);
  EXPECT_EQ(model::load_reward_model(output)->presentation().question,
            "{prompt}{response} Is it {principle}?");
}

TEST_F(RewardTraining, StepsAreLearntByHeart) {
  const std::string file =
      folder_
          .file(
              "steps.jsonl",
              R"({"prompt": "red?", "completions": [" blue", " sings", "."], "labels": [true, true, false]}
{"prompt": "green?", "completions": [" a", " cat"], "labels": [false, false]}
)")
          .string();
  const fs::path output = run(settings(file, {{"loss_type", "stepwise"},
                                              {"step_separator", " "},
                                              {"step_reduction", "product"},
                                              {"max_steps", 60},
                                              {"learning_rate", 1e-2}}));
  std::istringstream lines(read_file(output / "metrics.jsonl"));
  Json last;
  for (std::string line; std::getline(lines, line);) last = parse_json(line, "metrics.jsonl");
  EXPECT_EQ(last["accuracy"], 1.0);
  EXPECT_NEAR(last["right_steps"].get<double>(), 0.4, 1e-9);
  const model::Presentation shown = model::load_reward_model(output)->presentation();
  EXPECT_EQ(shown.step_separator, " ");
  EXPECT_EQ(shown.step_reduction, "product");
}

TEST_F(RewardTraining, MembersLearnTheirOwnHeads) {
  const std::string file = pairs([](Json&, size_t) {});
  const Json more = {
      {"new_head", true},
      {"uncertainty", "scaled"},
      {"loss_type", "probit"},
      {"max_steps", 10},
      {"ensemble",
       {{"members", 3}, {"row_share", 0.5}, {"combine", "robust"}, {"nominal_weight", 0.6}}}};
  const fs::path output = run(settings(file, more));
  const auto saved = model::load_reward_model(output);
  EXPECT_EQ(saved->readout().members, 3);
  EXPECT_EQ(saved->readout().combination.combine, "robust");
  EXPECT_EQ(saved->readout().combination.nominal_weight, 0.6);
  ASSERT_EQ(saved->head_weight().size(0), 6);
  // Each as if the others were not there: the columns of the head differ.
  EXPECT_FALSE(at::allclose(saved->head_weight()[0], saved->head_weight()[2], 1e-2, 1e-2));
  std::istringstream lines(read_file(output / "metrics.jsonl"));
  Json last;
  for (std::string line; std::getline(lines, line);) last = parse_json(line, "metrics.jsonl");
  EXPECT_GT(last["mean_deviation"].get<double>(), 0.05);
  EXPECT_LE(last["accuracy"].get<double>(), 1.0);
  // Bradley-Terry does not go on from it: the score is no weighted sum.
  Json pair = settings(file);
  pair["model_name_or_path"] = output.string();
  EXPECT_NE(
      test::refusal(Kind::input, [&] { run(pair); }).find("whose score is no weighted sum of them"),
      std::string::npos);
}

TEST_F(RewardTraining, WhatIsOfEnsemblesOrPairsIsRefusedElsewhere) {
  const std::string file = pairs([](Json&, size_t) {});
  EXPECT_EQ(test::refusal(Kind::settings,
                          [&] {
                            run(settings(file, {{"ensemble", {{"row_share", 0.5}}}}));
                          }),
            "settings.json: key ensemble.row_share: is of ensembles, and ensemble.members is 1");
  EXPECT_EQ(test::refusal(
                Kind::settings,
                [&] {
                  run(settings(file, {{"loss_type", "plackett_luce"}, {"uncertainty", "scaled"}}));
                }),
            "settings.json: key uncertainty: is of pairs, and loss_type is \"plackett_luce\"");
}

TEST_F(RewardTraining, ARowWithoutAnyRatingIsRefused) {
  const std::string file = folder_
                               .file("rated.jsonl", R"({"prompt": "a", "completion": "b", "x": 1}
{"prompt": "a", "completion": "c", "x": -100}
)")
                               .string();
  EXPECT_EQ(test::refusal(Kind::input,
                          [&] {
                            run(settings(file, {{"loss_type", "huber"}, {"attributes", {"x"}}}));
                          }),
            file + ":2: has no rating (none of \"x\")");
}

TEST_F(RewardTraining, NemosRegressionRowsAreRatings) {
  const std::string list = folder_
                               .file("scored.jsonl", R"({"text": "a dog", "label": [1, -100]}
{"text": "a cat", "label": [3, 2]}
)")
                               .string();
  const std::string named = folder_
                                .file("named.jsonl", R"({"text": "a dog", "x": 1}
{"text": "a cat", "x": 3, "y": 2}
)")
                                .string();
  const Json more = {{"loss_type", "mse"}, {"attributes", {"x", "y"}}};
  EXPECT_EQ(first_loss(settings(list, more)), first_loss(settings(named, more)));
}

TEST_F(RewardTraining, AListOfTwoIsAPair) {
  std::string lists;
  const std::string rows = pairs([&](Json& row, size_t i) {
    const bool first = i % 2 == 0;
    lists += Json{{"prompt", row["prompt"]},
                  {"responses",
                   {row[first ? "chosen" : "rejected"], row[first ? "rejected" : "chosen"]}},
                  {"ranks", {first ? 1 : 2, first ? 2 : 1}}}
                 .dump() +
             "\n";
  });
  const std::string file = folder_.file("lists.jsonl", lists).string();
  const Json pair = first_step(settings(rows));
  for (const char* type : {"plackett_luce", "ordered_chain"}) {
    const Json list = first_step(settings(file, {{"loss_type", type}}));
    for (const char* name : {"loss", "accuracy", "mean_reward", "grad_norm"})
      EXPECT_NEAR(list[name].get<double>(), pair[name].get<double>(), 1e-5) << type << name;
  }
}

TEST_F(RewardTraining, ListsOfAnyLengthAreLearntByHeart) {
  const std::string file =
      folder_
          .file(
              "lists.jsonl",
              R"({"prompt": "red?", "responses": [" a dog.", " old but!", " blue sings."], "scores": [3, 1, 2]}
{"prompt": "green?", "responses": [" river.", " cat."], "scores": [0, 1]}
{"prompt": "green?", "responses": [" slowly", " young", " a tree", " me"], "scores": [1, 1, 1, 1]}
)")
          .string();
  const fs::path output = run(
      settings(file, {{"loss_type", "plackett_luce"}, {"max_steps", 60}, {"learning_rate", 1e-2}}));
  std::istringstream lines(read_file(output / "metrics.jsonl"));
  Json last;
  for (std::string line; std::getline(lines, line);) last = parse_json(line, "metrics.jsonl");
  EXPECT_EQ(last["accuracy"], 1.0);
  EXPECT_LT(last["loss"].get<double>(), 0.1);
}

TEST_F(RewardTraining, DynamicLabelsMoveAndResumeBitForBit) {
  const Json s = settings(pairs([](Json&, size_t) {}), {{"dynamic_label_rate", 0.3},
                                                        {"max_steps", 8},
                                                        {"save_steps", 3},
                                                        {"save_total_limit", nullptr}});
  const fs::path whole = run(s), cut = run(s);
  const Json state = read_json(whole / "checkpoints/step-000003/state.json");
  const Json& labels = state["rows"]["algorithm.dynamic.labels"];
  EXPECT_EQ(labels.size(), 12u) << "three steps of four pairs";
  for (const auto& [id, label] : labels.items()) {
    EXPECT_LT(label.get<double>(), 1.0);
    EXPECT_GT(label.get<double>(), 0.6);
  }
  fs::remove_all(cut / "checkpoints/step-000008");
  fs::remove_all(cut / "checkpoints/step-000006");
  run(s, true, cut);
  for (const char* file : {"model/model.safetensors", "checkpoints/step-000008/state.safetensors"})
    EXPECT_EQ(read_file(cut / file), read_file(whole / file)) << file;
  EXPECT_EQ(read_json(cut / "checkpoints/step-000008/state.json")["rows"],
            read_json(whole / "checkpoints/step-000008/state.json")["rows"]);
}

TEST_F(RewardTraining, AFrozenBodyIsReadOnceAndResumesBitForBit) {
  const std::string file = pairs([](Json&, size_t) {});
  Json s = settings(file, {{"max_steps", 12}, {"save_steps", 5}, {"save_total_limit", nullptr}});
  s["eval_strategy"] = "steps";
  s["eval_steps"] = 6;
  s["data"]["eval"] = file;
  Json frozen = s;
  frozen["freeze_body"] = true;
  frozen["learning_rate"] = 0.1;
  EXPECT_NEAR(first_loss(frozen), first_loss(s), 1e-6);

  const fs::path whole = run(frozen), cut = run(frozen);
  for (const char* step : {"checkpoints/step-000010", "checkpoints/step-000012"})
    fs::remove_all(cut / step);
  run(frozen, true, cut);
  EXPECT_EQ(read_file(cut / "model/model.safetensors"),
            read_file(whole / "model/model.safetensors"));

  const auto before = model::load_reward_model(test::fixture("trl/reward_model")),
             after = model::load_reward_model(whole);
  EXPECT_FALSE(after->head_weight().equal(before->head_weight()));
  const auto then = before->body().named_parameters(), now = after->body().named_parameters();
  for (const auto& item : then) EXPECT_TRUE(now[item.key()].equal(item.value())) << item.key();

  const std::vector<Json> steps = metrics(whole);
  EXPECT_LT(steps[11]["eval_loss"].get<double>(), steps[5]["eval_loss"].get<double>());
  // The model as it is saved gives the scores that its kept states did.
  Json again = s;
  again["model_name_or_path"] = whole.string();
  again["eval_on_start"] = true;
  EXPECT_NEAR(first_step(again)["eval_loss"].get<double>(), steps[11]["eval_loss"].get<double>(),
              1e-6);
}

TEST_F(RewardTraining, AFrozenBodyTakesNoAdapter) {
  const std::string file = pairs([](Json&, size_t) {});
  EXPECT_EQ(test::refusal(Kind::settings,
                          [&] {
                            run(settings(file, {{"freeze_body", true}, {"lora", {{"r", 4}}}}));
                          }),
            "settings.json: key freeze_body: an adapter (lora.r) is of the body");
}

/// Responses that passed and failed, of two kinds.
std::string labelled_rows(int64_t count) {
  const std::vector<std::string> good = {" a dog sleeps.", " tree falls."},
                                 bad = {" old but!", " me"};
  std::string rows;
  for (int64_t i = 0; i < count; ++i) {
    const bool label = i % 3 != 0;
    rows += Json{{"prompt", "red " + std::to_string(i)},
                 {"completion", (label ? good : bad)[static_cast<size_t>(i % 2)]},
                 {"label", label},
                 {"kind", i % 2 == 0 ? "even" : "odd"}}
                .dump() +
            "\n";
  }
  return rows;
}

TEST_F(RewardTraining, PairsAcrossPromptsAreOfAKindAndTiesAreOfTheGood) {
  const std::string file = folder_.file("labelled.jsonl", labelled_rows(12)).string();
  // 8 passed and 4 failed: 4 wins of each kind, and ties of half as many.
  Json s = settings(file, {{"pairing", "across_prompts"},
                           {"pairing_ties", 0.5},
                           {"ties", "win_tie"},
                           {"per_device_train_batch_size", 12},
                           {"num_train_epochs", 1},
                           {"max_steps", -1}});
  s["data"]["category"] = "kind";
  s["data"]["eval"] = file;
  s["eval_strategy"] = "steps";
  s["eval_steps"] = 1;
  const std::vector<Json> lines = metrics(run(s));
  ASSERT_EQ(lines.size(), 1u) << "an epoch has 4 + 2 pairs of each kind";
  EXPECT_EQ(lines[0]["epoch"], 1.0);
  // A pair that is a tie has no part in the accuracy, which is of 8 pairs.
  const double eighths = 8 * lines[0]["accuracy"].get<double>();
  EXPECT_NEAR(eighths, std::round(eighths), 1e-5);
  EXPECT_TRUE(lines[0].contains("eval_accuracy"));

  s["max_steps"] = 40;
  s["learning_rate"] = 1e-2;
  s["eval_steps"] = 40;
  EXPECT_EQ(metrics(run(s)).back()["eval_accuracy"], 1.0);
}

TEST_F(RewardTraining, PairsAcrossPromptsAreRefusedWhereTheyMakeNoSense) {
  const std::string file = folder_.file("labelled.jsonl", labelled_rows(6)).string();
  const auto refused = [&](Kind kind, const std::string& rows, const Json& more) {
    return test::refusal(kind, [&] { run(settings(rows, more)); });
  };
  EXPECT_EQ(refused(Kind::settings, file, {{"pairing_ties", 1}, {"ties", "win_tie"}}),
            "settings.json: key pairing_ties: does nothing while pairing is \"given\"");
  EXPECT_EQ(refused(Kind::settings, file, {{"pairing_ties", 1}, {"pairing", "across_prompts"}}),
            "settings.json: key pairing_ties: needs to know what a tie is: ties");
  EXPECT_EQ(refused(Kind::settings, file,
                    {{"pairing", "across_prompts"}, {"loss_type", "plackett_luce"}}),
            "settings.json: key pairing: is of pairs, and loss_type is \"plackett_luce\"");
  const std::string pairs = this->pairs([](Json&, size_t) {});
  EXPECT_NE(refused(Kind::input, pairs, {{"pairing", "across_prompts"}})
                .find("responses with labels (prompt, completion, label) are needed"),
            std::string::npos);
}

TEST_F(RewardTraining, KindsComeInTurn) {
  // Twenty easy rows and two of another kind, half of what is learnt.
  const std::string file =
      this->pairs([](Json& row, size_t i) { row["kind"] = i < 18 ? "many" : "few"; });
  Json s = settings(file, {{"train_sampling_strategy", "balanced"},
                           {"per_device_train_batch_size", 4},
                           {"max_steps", -1},
                           {"num_train_epochs", 1}});
  s["data"]["category"] = "kind";
  EXPECT_EQ(metrics(run(s)).size(), 9u) << "18 rows of each kind in fours";
  s["data"]["category"] = "missing";
  EXPECT_NE(test::refusal(Kind::input, [&] { run(s); })
                .find(": field \"missing\" is missing (data.category)"),
            std::string::npos);
  s["data"].erase("category");
  s["data"]["weights"] = {1};
  EXPECT_NE(test::refusal(Kind::settings, [&] { run(s); }).find("settings.json: key data.weights"),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon::train
