// `guerdon model new`, `score` and `eval` as their users meet them.
#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/text/tokenizer.h"
#include "support/program.h"
#include "support/temporary.h"

namespace guerdon::test {
namespace {

bool has(const std::string& text, const std::string& what) {
  return text.find(what) != std::string::npos;
}

std::string made_data(const TemporaryFolder& folder) {
  const std::string data = (folder.path() / "data").string();
  run_guerdon("data make --sft 5 --pairs 40 --prompts 5 --eval 60 --output " + data);
  return data;
}

TEST(ModelNew, MakesAModelForATokenizer) {
  const TemporaryFolder folder;
  const std::vector<std::string> texts{"a small text, and a small one more"};
  folder.file("words/tokenizer.json",
              text::train_bpe(texts, {.vocabulary_size = 270, .special_tokens = {"<end>"}}));
  folder.file("words/tokenizer_config.json", R"({"eos_token": "<end>"})");
  const std::string words = (folder.path() / "words").string(),
                    out = (folder.path() / "m").string();
  const Ran made = run_guerdon("model new --tokenizer " + words +
                               " --hidden-size 32 --layers 2 --heads 2 --output " + out + " 2>&1");
  EXPECT_EQ(made.code, 0) << made.out;
  const Json config = read_json(out + "/config.json");
  EXPECT_EQ(config["architectures"][0], "Qwen2ForCausalLM");
  EXPECT_EQ(config["eos_token_id"], 0);
  EXPECT_TRUE(std::filesystem::exists(out + "/tokenizer.json"));
  const Ran told = run_guerdon("model info --json --model " + out);
  EXPECT_EQ(parse_json(told.out, "info")["family"], "qwen2") << told.out;

  // The plain template writes roles, and ends what the assistant says.
  const auto chat = folder.file(
      "chat.jsonl",
      R"({"prompt":[{"role":"user","content":"hi"}],"completion":[{"role":"assistant","content":"ho"}]})"
      "\n");
  const Ran seen =
      run_guerdon("data inspect --model " + out + " --data " + chat.string() + " 2>&1");
  EXPECT_TRUE(has(seen.out, "<end>")) << seen.out;
  const Ran wrong = run_guerdon("model new --tokenizer " + words +
                                " --hidden-size 30 --heads 4 --output " + out + "x 2>&1");
  EXPECT_EQ(wrong.code, 2);
  EXPECT_FALSE(std::filesystem::exists(out + "x"));
}

TEST(Score, WritesALineForEachResponse) {
  const TemporaryFolder folder;
  const std::string data = made_data(folder);
  const Ran ran = run_guerdon(
      "score --reward "
      "'{\"use\":\"sum\",\"of\":[{\"use\":\"truth\"},{\"use\":\"brevity\",\"weight\":0.5}]}' "
      "--data " +
      data + "/pairs_eval.jsonl 2>/dev/null");
  ASSERT_EQ(ran.code, 0) << ran.out;
  const Json first = parse_json(ran.out.substr(0, ran.out.find('\n')), "line");
  EXPECT_EQ(first["index"], 0);
  EXPECT_EQ(first["response"], "chosen");
  EXPECT_NEAR(first["total"].get<double>(),
              first["components"]["truth"].get<double>() +
                  0.5 * first["components"]["brevity"].get<double>(),
              1e-6);
}

TEST(Score, PrintsTheDigitsOfAFloat) {
  const TemporaryFolder folder;
  folder.file("rows.jsonl", "{\"prompt\":\"p\",\"completion\":\"abc\"}\n");
  const Ran ran = run_guerdon(
      "score --reward "
      "'{\"use\":\"brevity\",\"limit\":9,\"transform\":{\"use\":\"scale\",\"factor\":0.1}}' "
      "--data " +
      (folder.path() / "rows.jsonl").string() + " 2>/dev/null");
  EXPECT_TRUE(has(ran.out, "\"total\":0.1,")) << ran.out;
}

TEST(Score, DoesNotDependOnTheBatch) {
  const TemporaryFolder folder;
  const std::string command = "score --reward truth --data " + made_data(folder) +
                              "/pairs_eval.jsonl 2>/dev/null --batch-size ";
  const Ran one = run_guerdon(command + "1"), seven = run_guerdon(command + "7");
  ASSERT_EQ(one.code, 0);
  EXPECT_EQ(std::count(one.out.begin(), one.out.end(), '\n'), 120);
  EXPECT_EQ(one.out, seven.out);
  EXPECT_EQ(run_guerdon(command + "0").code, 2);
}

TEST(Score, RefusesInALine) {
  const TemporaryFolder folder;
  const std::string data = " --data " + made_data(folder) + "/pairs_eval.jsonl 2>&1";
  const Ran unknown = run_guerdon("score --reward truht" + data);
  EXPECT_EQ(unknown.code, 2);
  EXPECT_TRUE(has(unknown.out, "did you mean \"truth\"?")) << unknown.out;
  EXPECT_TRUE(
      has(run_guerdon("score --reward runs/none" + data).out, "runs/none: no such file or folder"));
  const Ran length = run_guerdon("score --reward length" + data);
  EXPECT_TRUE(has(length.out, "--tokenizer DIR")) << length.out;
  EXPECT_EQ(length.code, 5);
  const auto prompts = folder.file("prompts.jsonl", "{\"prompt\":\"x\"}\n");
  EXPECT_TRUE(has(run_guerdon("score --reward truth --data " + prompts.string() + " 2>&1").out,
                  "rows with a response are needed"));
}

TEST(EvalReward, TheTruthIsAsGoodAsTheLabelsAllow) {
  const TemporaryFolder folder;
  const std::string data = made_data(folder), result = (folder.path() / "result.json").string();
  const Ran ran = run_guerdon("eval reward --model truth --json --data " + data +
                              "/pairs_eval.jsonl -o " + result + " 2>/dev/null");
  ASSERT_EQ(ran.code, 0) << ran.out;
  const Json json = parse_json(ran.out, "eval");
  EXPECT_EQ(json["pairs"], 60);
  EXPECT_EQ(json["accuracy"], json["best_accuracy"]);
  EXPECT_EQ(json["true_agreement"], 1.0);
  EXPECT_EQ(read_json(result), json);
  const Ran missing = run_guerdon("eval reward --model truth --by nothing --data " + data +
                                  "/pairs_eval.jsonl 2>&1");
  EXPECT_EQ(missing.code, 2);
  EXPECT_TRUE(has(missing.out, "has a column \"nothing\"")) << missing.out;
}

}  // namespace
}  // namespace guerdon::test
