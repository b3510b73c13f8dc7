// `guerdon eval rewardbench` and its like, as their users meet them.
#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/json_reader.h"
#include "support/data.h"
#include "support/program.h"
#include "support/temporary.h"

namespace guerdon::test {
namespace {

bool has(const std::string& text, const std::string& what) {
  return text.find(what) != std::string::npos;
}

TEST(EvalSuite, JudgesRowsAndComparesWithGivenScores) {
  const TemporaryFolder folder;
  const auto data = folder.file(
      "rows.jsonl",
      R"({"id": 1, "subset": "hep-cpp", "prompt": "p", "chosen": "short", "rejected": ")" +
          std::string(700, 'x') + "\"}\n" +
          R"({"id": 2, "subset": "math-prm", "prompt": "p", "chosen": ")" + std::string(700, 'y') +
          R"(", "rejected": "brief"})" + "\n");
  const auto scores = folder.file("other.jsonl",
                                  "{\"id\": 2, \"scores_chosen\": 1, \"scores_rejected\": 0}\n"
                                  "{\"id\": 1, \"scores_chosen\": 1, \"scores_rejected\": 0}\n");
  const std::string result = (folder.path() / "result.json").string();
  const Ran ran =
      run_guerdon("eval rewardbench --model brevity --data " + data.string() + " --scores " +
                  scores.string() + " --json -o " + result + " 2>/dev/null");
  ASSERT_EQ(ran.code, 0) << ran.out;
  const Json json = parse_json(ran.out, "result");
  EXPECT_EQ(read_json(result), json);
  ASSERT_EQ(json["models"].size(), 2u);
  EXPECT_EQ(json["models"][0]["name"], "brevity");
  EXPECT_NEAR(json["models"][0]["score"].get<double>(), 164.0 / 1148, 1e-12);
  EXPECT_EQ(json["models"][1]["name"], "other");
  EXPECT_EQ(json["models"][1]["score"], 1.0);
  EXPECT_EQ(json["comparisons"][0]["baseline"], "brevity");
  EXPECT_EQ(json["models"][0]["worst"][0]["wrong"], "brief");

  const Ran text =
      run_guerdon("eval rewardbench --model brevity --data " + data.string() + " 2>/dev/null");
  EXPECT_TRUE(has(text.out, "Reasoning")) << text.out;
  EXPECT_TRUE(has(text.out, "missing: alpacaeval-easy")) << text.out;
}

TEST(EvalSuite, SettlesTablesWithoutAModel) {
  GUERDON_NEEDS_DATA("reward-scores");
  const Ran ran = run_guerdon(
      "eval rewardmath --compare internlm2 --scores " +
      (data_folder() / "reward-scores/rewardmath_scores.jsonl.gz").string() + " --json");
  ASSERT_EQ(ran.code, 0);
  const Json json = parse_json(ran.out, "result");
  EXPECT_EQ(json["rows"], 300);
  EXPECT_EQ(json["models"].size(), 17u);
  EXPECT_EQ(json["comparisons"].size(), 16u);
}

TEST(EvalSuite, RefusesInALine) {
  const TemporaryFolder folder;
  const auto data = folder.file("rows.jsonl", "{\"prompt\": \"p\", \"chosen\": \"c\"}\n");
  const Ran row = run_guerdon("eval rag --model brevity --data " + data.string() + " 2>&1");
  EXPECT_EQ(row.code, 3);
  EXPECT_TRUE(has(row.out, "rows.jsonl:1: field \"rejected\" is missing")) << row.out;
  const auto good =
      folder.file("good.jsonl", "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}\n");
  const Ran nobody = run_guerdon("eval rag --data " + good.string() + " 2>&1");
  EXPECT_EQ(nobody.code, 2);
  EXPECT_TRUE(has(nobody.out, "a judge is needed")) << nobody.out;
  EXPECT_EQ(run_guerdon("eval rag --model brevity 2>&1").code, 2);
  EXPECT_EQ(run_guerdon("eval rag --scores " + data.string() + " --reduce total 2>&1").code, 2);
}

TEST(EvalCalibration, MapsAreFittedOnOtherScores) {
  const TemporaryFolder folder;
  std::string sure, other;
  for (int i = 0; i < 40; ++i) {  // right in three of four, and claims to be far surer
    sure += str("{\"model\": \"m\", \"scores\": [", i % 4 == 0 ? -3 : 3, ", 0]}\n");
    other += str("{\"model\": \"m\", \"scores\": [", i % 4 == 1 ? -3 : 3, ", 0]}\n");
  }
  const auto file = folder.file("s.jsonl", sure), fit = folder.file("f.jsonl", other);
  const Ran ran = run_guerdon("eval calibration --scores " + file.string() + " --fit " +
                              fit.string() + " --json 2>&1");
  ASSERT_EQ(ran.code, 0) << ran.out;
  const Json model = parse_json(ran.out, "result")["models"][0];
  EXPECT_EQ(model["name"], "m");
  EXPECT_EQ(model["accuracy"], 0.75);
  // sigmoid(3) = 0.952574 is claimed, 0.75 comes true; log 3 is the margin of 3 : 1.
  EXPECT_NEAR(model["methods"][0]["ece"].get<double>(), 0.202574, 1e-6);
  EXPECT_NEAR(model["temperature"].get<double>(), 3 / std::log(3), 1e-6);
  EXPECT_NEAR(model["methods"][1]["ece"].get<double>(), 0, 1e-6);
}

TEST(EvalBestOfN, JudgesSamplesByAModel) {
  const TemporaryFolder folder;
  const auto data =
      folder.file("s.jsonl", R"({"prompt": "p", "responses": ["short", ")" + std::string(700, 'x') +
                                 R"("], "correct": [true, false]})" + "\n");
  const Ran ran =
      run_guerdon("eval best-of-n --model brevity --json --data " + data.string() + " 2>/dev/null");
  ASSERT_EQ(ran.code, 0) << ran.out;
  const Json models = parse_json(ran.out, "result")["models"];
  EXPECT_EQ(models[0]["name"], "brevity");
  EXPECT_EQ(models[0]["points"][0]["gold"], 0.5);
  EXPECT_EQ(models[0]["points"][1]["gold"], 1.0);
}

TEST(EvalDistance, OfJudgesAndOfTables) {
  const TemporaryFolder folder;
  const auto scores = folder.file("s.jsonl",
                                  "{\"prompt_id\": 0, \"score_a\": 1, \"score_b\": 0.5}\n"
                                  "{\"prompt_id\": 0, \"score_a\": 0, \"score_b\": 0.2}\n"
                                  "{\"prompt_id\": 1, \"score_a\": 2, \"score_b\": 0}\n"
                                  "{\"prompt_id\": 1, \"score_a\": 1, \"score_b\": 1}\n");
  const Ran ran = run_guerdon("eval distance --json --scores " + scores.string());
  ASSERT_EQ(ran.code, 0);
  EXPECT_NEAR(parse_json(ran.out, "result")["distances"][0][1].get<double>(), 0.858516, 1e-6);
  const auto table = folder.file("t.json", R"({"transition": [[[1]]], "rewards": {"a": [[[1]]]}})");
  const Ran bad = run_guerdon("eval distance --tabular " + table.string() + " 2>&1");
  EXPECT_EQ(bad.code, 3);
  EXPECT_TRUE(has(bad.out, "t.json: key rewards: must name two rewards")) << bad.out;
  EXPECT_EQ(
      run_guerdon("eval distance --tabular " + table.string() + " --canonical vale 2>&1").code, 2);
}

TEST(EvalDetect, ByAModelAndByScores) {
  const TemporaryFolder folder;
  const auto data = folder.file(
      "texts.jsonl", "{\"text\": \"short\", \"label\": 1, \"scores\": {\"m\": 0}}\n{\"text\": \"" +
                         std::string(700, 'x') + "\", \"label\": 0, \"scores\": {\"m\": 1}}\n");
  const Ran ran =
      run_guerdon("eval detect --model brevity --json --data " + data.string() + " 2>/dev/null");
  ASSERT_EQ(ran.code, 0) << ran.out;
  const Json models = parse_json(ran.out, "result")["models"];
  EXPECT_EQ(models[0]["name"], "brevity");
  EXPECT_EQ(models[0]["auroc"], 1.0);
  EXPECT_EQ(models[1]["auroc"], 0.0);
  const auto one = folder.file("one.jsonl", "{\"score\": 1, \"label\": 1}\n");
  const Ran refused = run_guerdon("eval detect --data " + one.string() + " 2>&1");
  EXPECT_EQ(refused.code, 3);
  EXPECT_TRUE(has(refused.out, "texts of one label only")) << refused.out;
}

TEST(EvalAgreement, OfABenchmarkWithWhatCameOfIt) {
  const TemporaryFolder folder;
  const auto data = folder.file("m.jsonl",
                                "{\"benchmark\": 75.9, \"downstream\": 0.62}\n"
                                "{\"benchmark\": 71, \"downstream\": 0.66}\n"
                                "{\"benchmark\": 68.5, \"downstream\": 0.55}\n"
                                "{\"benchmark\": 64.2, \"downstream\": 0.57}\n"
                                "{\"benchmark\": 60.1, \"downstream\": 0.50}\n");
  const Ran ran = run_guerdon("eval agreement --json --data " + data.string());
  ASSERT_EQ(ran.code, 0);
  const Json json = parse_json(ran.out, "result");
  EXPECT_NEAR(json["spearman"].get<double>(), 0.8, 1e-12);
  EXPECT_NEAR(json["weighted_kendall"].get<double>(), 0.543796, 1e-6);
  EXPECT_NEAR(json["ndcg"].get<double>(), 0.990858, 1e-6);
  EXPECT_NEAR(json["rbo"].get<double>(), 0.873, 1e-6);
  EXPECT_EQ(run_guerdon("eval agreement --benchmark none --data " + data.string() + " 2>&1").code,
            3);
}

TEST(EvalReward, ShowsWhatIsMostWrong) {
  const TemporaryFolder folder;
  const auto data =
      folder.file("pairs.jsonl", "{\"prompt\": \"p\", \"chosen\": \"" + std::string(700, 'x') +
                                     "\", \"rejected\": \"brief\"}\n"
                                     "{\"prompt\": \"q\", \"chosen\": \"brief\", \"rejected\": \"" +
                                     std::string(700, 'x') + "\"}\n");
  const Ran ran =
      run_guerdon("eval reward --model brevity --json --data " + data.string() + " 2>/dev/null");
  ASSERT_EQ(ran.code, 0) << ran.out;
  const Json worst = parse_json(ran.out, "result")["worst"];
  ASSERT_EQ(worst.size(), 1u);
  EXPECT_EQ(worst[0]["prompt"], "p");
  EXPECT_EQ(worst[0]["wrong"], "brief");
}

}  // namespace
}  // namespace guerdon::test
