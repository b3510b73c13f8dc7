// Reward models on an encoder: trained, stopped, saved, judged.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/eval/judge.h"
#include "guerdon/model/reward_model.h"
#include "guerdon/reward/model_reward.h"
#include "guerdon/text/tokenizer.h"
#include "guerdon/train/trainer.h"
#include "support/data.h"
#include "support/temporary.h"
#include "train/tiny_policy.h"

namespace guerdon::train {
namespace {

namespace fs = std::filesystem;

Example row(const std::string& prompt, const std::string& response) {
  Example e;
  e.prompt = prompt;
  e.responses.resize(1);
  e.responses[0].text = response;
  e.fields = Fields(Json::object(), "rows.jsonl:1");
  return e;
}

/// The fixtures' BERT with a tokenizer of letters that frames a text with [CLS] and [SEP], and
/// pairs of which the chosen one has more of the letter b.
class EncoderReward : public testing::Test {
 protected:
  EncoderReward() {
    fs::copy(test::fixture("models/bert"), folder_.path() / "bert");
    Json tokenizer = test::character_tokenizer({"[PAD]", "[CLS]", "[SEP]", "[UNK]"}, "abcdefgh");
    const auto piece = [](const char* name) {
      return Json{{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
    };
    const auto text = [](const char* id) {
      return Json{{"Sequence", {{"id", id}, {"type_id", 0}}}};
    };
    tokenizer["post_processor"] = {
        {"type", "TemplateProcessing"},
        {"single", {piece("[CLS]"), text("A"), piece("[SEP]")}},
        {"pair", {piece("[CLS]"), text("A"), text("B"), piece("[SEP]")}},
        {"special_tokens",
         {{"[CLS]", {{"id", "[CLS]"}, {"ids", {1}}, {"tokens", {"[CLS]"}}}},
          {"[SEP]", {{"id", "[SEP]"}, {"ids", {2}}, {"tokens", {"[SEP]"}}}}}}};
    folder_.file("bert/tokenizer.json", tokenizer.dump());
    folder_.file("bert/tokenizer_config.json",
                 R"({"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"})");
    std::string rows;
    for (const char* prompt : {"ab", "c", "defg", "hh", "bad", "fed", "cab", "he"})
      rows += Json{{"prompt", prompt}, {"chosen", "abbbb"}, {"rejected", "acdea"}}.dump() + "\n";
    folder_.file("pairs.jsonl", rows);
  }

  Json settings(const std::string& pooling) const {
    Json s = {{"model_name_or_path", (folder_.path() / "bert").string()},
              {"pooling", pooling},
              {"per_device_train_batch_size", 4},
              {"learning_rate", 3e-3},
              {"max_length", nullptr},
              {"max_steps", 40},
              {"save_steps", 15}};
    s["data"]["train"] = (folder_.path() / "pairs.jsonl").string();
    return s;
  }
  static TrainResult run(const Json& s, const fs::path& output, bool resume = false) {
    return run_training(
        s, {.method = "reward", .where = "settings.json", .output = output, .resume = resume});
  }
  static std::vector<Json> metrics(const fs::path& run) {
    std::vector<Json> out;
    std::istringstream text(read_file(run / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);) out.push_back(parse_json(line, "metrics"));
    return out;
  }

  test::TemporaryFolder folder_;
};

TEST_F(EncoderReward, LearnsHoweverItPoolsAndResumesBitForBit) {
  for (const char* pooling : {"mean", "cls", "pooler"}) {
    for (const bool bf16 : {false, true}) {
      const std::string name = std::string(pooling) + (bf16 ? "-bf16" : "");
      Json s = settings(pooling);
      s["bf16"] = bf16;
      const fs::path whole = folder_.path() / name / "whole", cut = folder_.path() / name / "cut";
      const TrainResult result = run(s, whole);
      EXPECT_NEAR(metrics(whole).front()["loss"].get<double>(), std::log(2.0), 0.05) << name;
      EXPECT_LT(metrics(whole).back()["loss"].get<double>(), 0.1) << name;

      run(s, cut);
      fs::remove_all(cut / "checkpoints" / "step-000040");
      run(s, cut, true);
      EXPECT_EQ(read_file(cut / "model/model.safetensors"),
                read_file(whole / "model/model.safetensors"))
          << name;
      const Json config = read_json(result.model / "config.json");
      EXPECT_EQ(config["architectures"][0],
                std::string(pooling) == "pooler" ? "BertForSequenceClassification" : "BertModel");
      EXPECT_EQ(config["dtype"], "float32");
    }
  }
}

TEST_F(EncoderReward, AShiftOfAllScoresIsTrainedOnlyWhereItIsFelt) {
  const auto bias_after = [&](const Json& s, const std::string& name) {
    return model::load_reward_model(run(s, folder_.path() / name).model)
        ->head_bias()
        .item<double>();
  };
  Json s = settings("mean");
  EXPECT_EQ(bias_after(s, "free"), 0.0);
  s["center_rewards_coefficient"] = 0.01;
  EXPECT_NE(bias_after(s, "centred"), 0.0);
}

TEST_F(EncoderReward, JudgesWhatItWasTrainedOn) {
  const TrainResult result = run(settings("mean"), folder_.path() / "run");
  ModelReward judge({.path = result.model.string()});
  const std::vector<Example> rows{row("cab", "abbbb"), row("cab", "acdea"), row("hhh", "bbb")};
  const auto together = eval::score_rows(judge, rows);
  EXPECT_GT(together[0][0].total, together[1][0].total);
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(eval::score_rows(judge, std::span(&rows[i], 1))[0][0].total, together[i][0].total);
  }

  // [CLS] c a b b b b [SEP], and nothing else, is what the score is of.
  const at::NoGradGuard no_grad;
  const auto saved = model::load_reward_model(result.model);
  const std::vector<Sequence> ids{
      {.tokens = text::Tokenizer::load(result.model).encode("cababbbb", true)}};
  EXPECT_EQ(ids[0].tokens.size(), 10u);
  EXPECT_EQ(saved->scores(pack(ids, {}, {.share_prefixes = false})).item<float>(),
            static_cast<float>(together[0][0].total));
}

TEST_F(EncoderReward, CutsTheBeginningOfLongTextsWhenAsked) {
  const TrainResult result = run(settings("mean"), folder_.path() / "run");
  const std::vector<Example> rows{row(std::string(80, 'a'), "bb"), row(std::string(60, 'a'), "bb")};
  ModelReward strict({.path = result.model.string()});
  const auto refused = eval::score_rows(strict, rows);
  EXPECT_EQ(refused[0][0].verdict, Verdict::failed);
  EXPECT_NE(refused[0][0].note.find("has positions for 64"), std::string::npos)
      << refused[0][0].note;
  ModelReward cutting({.path = result.model.string(), .truncate = true});
  const auto scores = eval::score_rows(cutting, rows);
  // [CLS], the last 60 letters a, b, b, [SEP]: all that 64 positions hold.
  EXPECT_EQ(scores[0][0].total, scores[1][0].total);
  EXPECT_EQ(scores[1][0].total, refused[1][0].total);
}

TEST_F(EncoderReward, RowsPastItsPositionsAreFilteredNotMet) {
  std::string rows = read_file(folder_.path() / "pairs.jsonl");
  rows += Json{{"prompt", std::string(80, 'a')}, {"chosen", "b"}, {"rejected", "c"}}.dump() + "\n";
  folder_.file("pairs.jsonl", rows);
  Json s = settings("mean");
  s["max_steps"] = 6;
  EXPECT_EQ(run(s, folder_.path() / "run").step, 6);
}

}  // namespace
}  // namespace guerdon::train
