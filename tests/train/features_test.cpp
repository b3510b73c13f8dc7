#include "guerdon/train/features.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "guerdon/base/file.h"
#include "guerdon/model/feature_model.h"
#include "guerdon/train/trainer.h"
#include "support/errors.h"
#include "support/temporary.h"
#include "train/vector_rows.h"

namespace guerdon::train {
namespace {

namespace fs = std::filesystem;

class Features : public testing::Test {
 protected:
  Features() {
    test::make_vectors(folder_, "train", 400, 1);
    test::make_vectors(folder_, "eval", 200, 2);
  }
  std::string pairs() const { return test::vector_rows(folder_, "train", 400); }
  Json settings(Json more = Json::object()) const {
    Json& data = more["data"];
    if (!data.contains("train")) data["train"] = pairs();
    const Json usual = {
        {"per_device_train_batch_size", 40}, {"max_steps", 100}, {"learning_rate", 1e-2}};
    for (const auto& [name, value] : usual.items()) {
      if (!more.contains(name)) more[name] = value;
    }
    return more;
  }
  fs::path run(const Json& s, const std::string& name, bool resume = false) const {
    const fs::path output = folder_.path() / name;
    run_training(s, {.method = "features", .where = "f.json", .output = output, .resume = resume});
    return output;
  }
  Json last(const fs::path& output) const {
    std::istringstream text(read_file(output / "metrics.jsonl"));
    std::string line, last;
    while (std::getline(text, line)) last = line;
    return parse_json(last, "metrics.jsonl");
  }
  std::string refused(Kind kind, const Json& s) const {
    return test::refusal(kind, [&] { run(s, "refused"); });
  }

  const test::TemporaryFolder folder_;
};

TEST_F(Features, AHeadAndASimilarityLearnWhatTheyCanSee) {
  const std::string eval = test::vector_rows(folder_, "eval", 200);
  const auto accuracy = [&](const std::string& form, const std::string& name) {
    const Json s = settings({{"form", form},
                             {"data", {{"eval", eval}}},
                             {"eval_strategy", "steps"},
                             {"eval_steps", 100}});
    return last(run(s, name))["eval_accuracy"].get<double>();
  };
  // A coin has 0.5; the head does not see the prompt.
  EXPECT_GT(accuracy("head", "head"), 0.7);
  EXPECT_GT(accuracy("similarity", "similarity"), 0.8);
}

TEST_F(Features, ResumeBitForBit) {
  const Json s = settings({{"form", "similarity"}, {"max_steps", 6}, {"save_steps", 2}});
  const fs::path whole = run(s, "whole"), cut = run(s, "cut");
  fs::remove_all(cut / "checkpoints/step-000006");
  run(s, "cut", true);
  for (const char* file : {"model/model.safetensors", "checkpoints/step-000006/state.safetensors"})
    EXPECT_EQ(read_file(cut / file), read_file(whole / file)) << file;
  // Other vectors under the same names are other data.
  test::make_vectors(folder_, "train", 400, 3);
  fs::remove_all(cut / "checkpoints/step-000006");
  EXPECT_NE(
      test::refusal(Kind::input, [&] { run(s, "cut", true); }).find("was made with other data"),
      std::string::npos);
}

TEST_F(Features, GoOnFromAModelThatIsThere) {
  const fs::path first = run(settings({{"layers", 3}, {"max_steps", 1}}), "first");
  const fs::path second =
      run(settings({{"model_name_or_path", first.string()}, {"max_steps", 1}}), "second");
  EXPECT_EQ(model::load_feature_model(second)->shape().layers, 3);
  EXPECT_EQ(
      refused(Kind::settings, settings({{"model_name_or_path", first.string()}, {"layers", 1}})),
      "f.json: key layers: is of a new model, and model_name_or_path names one");
}

TEST_F(Features, ACorrectionMovesNothingButItsDirection) {
  const fs::path similarity = run(settings({{"form", "similarity"}}), "similarity");
  const std::string samples = test::vector_rows(folder_, "train", 400, false);
  const Json s = settings({{"model_name_or_path", similarity.string()},
                           {"loss_type", "correction"},
                           {"data", {{"train", samples}}}});
  const fs::path corrected = run(s, "corrected");
  const auto before = model::load_feature_model(similarity),
             after = model::load_feature_model(corrected);
  ASSERT_TRUE(after->correction());
  EXPECT_EQ(after->correction()->omega, 1.5);
  for (const auto& item : before->named_parameters())
    EXPECT_TRUE(at::equal(item.value(), after->named_parameters()[item.key()])) << item.key();
  // The direction is the one in which the mean score of the samples rises.
  const auto mean = [&](const model::FeatureModel& m) {
    const Tensor all = test::make_vectors(folder_, "again", 400, 1).view({400, 3, -1});
    return m.scores(all.slice(1, 0, 2)).mean().item<double>();
  };
  EXPECT_GT(mean(*after), mean(*before) + 0.1);
}

TEST_F(Features, RefuseWhatCannotBeMeant) {
  EXPECT_EQ(refused(Kind::settings, settings({{"loss_type", "correction"}})),
            "f.json: key model_name_or_path: is missing (the similarity model that loss_type "
            "correction is for)");
  EXPECT_EQ(refused(Kind::settings, settings({{"omega", 2}})),
            "f.json: key omega: is of loss_type correction");
  EXPECT_EQ(refused(Kind::settings, settings({{"bf16", true}})),
            "f.json: key bf16: a model of stored vectors is too small to have that");
  const std::string samples = test::vector_rows(folder_, "train", 4, false);
  EXPECT_NE(refused(Kind::input, settings({{"data", {{"train", samples}}}}))
                .find("preference pairs are needed"),
            std::string::npos);
  // The row is named, before the first step.
  const std::string bad =
      folder_
          .file("bad.jsonl", read_file(pairs()) +
                                 R"({"prompt": "p", "chosen": "a", "rejected": "b", )"
                                 R"("chosen_vector": "train/v.safetensors#0"})"
                                 "\n")
          .string();
  EXPECT_EQ(refused(Kind::input, settings({{"data", {{"train", bad}}}})),
            bad + R"(:401: field "response_vector" is missing; it names a vector, )"
                  R"({"file": F, "key": K, "row": R} or "F#R")");
}

TEST_F(Features, AreForecast) {
  const Forecast found = dry_run(
      settings(), {.method = "features", .where = "f.json", .output = folder_.path() / "nothing"});
  EXPECT_EQ(found.preview.unit, "pairs");
  EXPECT_EQ(found.preview.models.at(0).body, nullptr);
  EXPECT_GT(found.memory.peak().total(), 0);
  EXPECT_FALSE(fs::exists(folder_.path() / "nothing"));
}

}  // namespace
}  // namespace guerdon::train
