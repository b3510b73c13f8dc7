// `guerdon logprobs` and `guerdon model` as their users meet them.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/base/json_reader.h"
#include "support/program.h"
#include "support/temporary.h"

namespace guerdon::test {
namespace {

namespace fs = std::filesystem;

// The llama fixture with a vocabulary of words, w3 is id 3, and a template that joins messages.
fs::path model_with_words(const TemporaryFolder& folder) {
  fs::copy(fixture("models/llama"), folder.path() / "m");
  Json vocabulary = Json::object();
  for (int i = 0; i < 64; ++i) vocabulary["w" + std::to_string(i)] = i;
  const Json tokenizer = {
      {"version", "1.0"},
      {"added_tokens", Json::array()},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "WhitespaceSplit"}}},
      {"post_processor", nullptr},
      {"decoder", nullptr},
      {"model", {{"type", "WordLevel"}, {"vocab", vocabulary}, {"unk_token", "w0"}}}};
  folder.file("m/tokenizer.json", tokenizer.dump());
  folder.file("m/chat_template.jinja",
              "{% for m in messages %}w1 {{ m.content }} {% endfor %}{% if add_generation_prompt "
              "%}w1 {% endif %}");
  return folder.path() / "m";
}

std::string words(const Json& ids) {
  std::string out;
  for (const Json& id : ids) out += (out.empty() ? "w" : " w") + std::to_string(id.get<int>());
  return out;
}

std::vector<Json> lines(const std::string& text) {
  std::vector<Json> out;
  for (size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1)
    out.push_back(parse_json(text.substr(begin, text.find('\n', begin) - begin), "line"));
  return out;
}

TEST(Logprobs, ReadsAllFormsOfARowAndGivesTransformersNumbers) {
  const TemporaryFolder folder;
  const fs::path model = model_with_words(folder);
  const Json expected =
      read_json(fixture("models/expected.json")).at("models").at("llama").at("sequences").at(2);
  const Json& ids = expected.at("tokens");
  const size_t prompt = 5, size = ids.size();
  const Json head(std::vector<int>(ids.begin(), ids.begin() + prompt)),
      tail(std::vector<int>(ids.begin() + prompt, ids.end()));
  std::string rows = Json{{"tokens", ids}, {"prompt_length", prompt}}.dump() + "\n";
  rows += Json{{"text", words(ids)}}.dump() + "\n";
  rows += Json{{"prompt", words(head) + " "}, {"completion", words(tail)}}.dump() + "\n";
  rows += Json{{"tokens", ids}, {"prompt_length", size}}.dump() + "\n";
  rows +=
      R"({"prompt": [{"role": "user", "content": "w5"}], "completion": [{"role": "assistant", "content": "w6"}]})"
      "\n";
  const auto data = folder.file("rows.jsonl", rows);
  const Ran ran = run_guerdon("logprobs --model " + model.string() + " --data " + data.string() +
                              " 2>/dev/null");
  ASSERT_EQ(ran.code, 0);
  const std::vector<Json> out = lines(ran.out);
  ASSERT_EQ(out.size(), 5U);
  const auto agrees = [&](const Json& row, size_t from) {
    ASSERT_EQ(row.at("tokens"), ids);
    ASSERT_EQ(row.at("logprobs").size(), size - from);
    ASSERT_EQ(row.at("entropy").size(), size - from);
    double sum = 0;
    for (size_t i = 0; i < size - from; ++i) {
      EXPECT_NEAR(row.at("logprobs").at(i).get<double>(),
                  expected.at("logprobs").at(from - 1 + i).get<double>(), 5e-5);
      EXPECT_NEAR(row.at("entropy").at(i).get<double>(),
                  expected.at("entropy").at(from - 1 + i).get<double>(), 5e-5);
      sum += row.at("logprobs").at(i).get<double>();
    }
    // The lists have float32 in its shortest form; sum and mean are of the numbers themselves.
    EXPECT_NEAR(row.at("sum").get<double>(), sum, 1e-6);
    EXPECT_NEAR(row.at("mean").get<double>(), sum / static_cast<double>(size - from), 1e-6);
  };
  for (int i = 0; i < 5; ++i) EXPECT_EQ(out[static_cast<size_t>(i)].at("index"), i);
  agrees(out[0], prompt);
  agrees(out[1], 1);  // nothing predicts the first token of a text
  agrees(out[2], prompt);
  EXPECT_TRUE(out[3].at("logprobs").empty());
  EXPECT_TRUE(out[3].at("mean").is_null());
  EXPECT_EQ(out[4].at("tokens").dump(), "[1,5,1,6]");
  EXPECT_EQ(out[4].at("prompt_length"), 3);
}

TEST(Logprobs, DoNotDependOnTheBatch) {
  const TemporaryFolder folder;
  std::string rows;
  for (int i = 0; i < 30; ++i) {
    Json ids = Json::array();
    for (int t = 0; t < 3 + i % 7; ++t) ids.push_back(t < 3 ? 5 + i / 4 : (i * 7 + t * 11) % 64);
    rows += Json{{"tokens", ids}, {"prompt_length", 3}}.dump() + "\n";
  }
  const auto data = folder.file("rows.jsonl", rows);
  const std::string command =
      "logprobs --model " + fixture("models/mistral").string() + " --data " + data.string();
  const std::vector<Json> many = lines(run_guerdon(command + " 2>/dev/null").out);
  const std::vector<Json> single =
      lines(run_guerdon(command + " --batch-tokens 1 2>/dev/null").out);
  ASSERT_EQ(many.size(), 30U);
  for (size_t i = 0; i < many.size(); ++i)
    EXPECT_NEAR(many[i].at("sum").get<double>(), single[i].at("sum").get<double>(), 1e-5);
}

TEST(Logprobs, ARefusalNamesTheRow) {
  const TemporaryFolder folder;
  const auto data = folder.file(
      "rows.jsonl", "{\"tokens\": [3, 4]}\n{\"tokens\": [3, 64], \"prompt_length\": 1}\n");
  const Ran ran =
      run_guerdon("logprobs --model " + fixture("models/llama").string() + " --data " +
                  data.string() + " --output " + (folder.path() / "out.jsonl").string() + " 2>&1");
  EXPECT_EQ(ran.code, 3);
  EXPECT_NE(ran.out.find("rows.jsonl:2: token id 64 is outside the model's vocabulary of 64"),
            std::string::npos)
      << ran.out;
  EXPECT_FALSE(fs::exists(folder.path() / "out.jsonl"));
  const auto pairs =
      folder.file("pairs.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n");
  const Ran other = run_guerdon("logprobs --model " + fixture("models/llama").string() +
                                " --data " + pairs.string() + " 2>&1");
  EXPECT_EQ(other.code, 3);
  EXPECT_NE(other.out.find("pairs.jsonl:1: is a row of preference (expected prompt and completion"),
            std::string::npos)
      << other.out;
}

TEST(ModelInfo, SaysWhatAFolderHolds) {
  const Ran ran = run_guerdon("model info --json --model " + fixture("models/llama-bias").string());
  ASSERT_EQ(ran.code, 0) << ran.out;
  const Json facts = parse_json(ran.out, "info");
  EXPECT_EQ(facts.at("family"), "llama");
  EXPECT_EQ(facts.at("files"), 4);
  EXPECT_EQ(facts.at("head"), "language model");
  EXPECT_EQ(facts.at("layers"), 3);
  EXPECT_GT(facts.at("parameters"), 10000);
  EXPECT_EQ(
      parse_json(
          run_guerdon("model info --json --model " + fixture("models/bert-score").string()).out,
          "info")
          .at("head"),
      "reward");
  EXPECT_EQ(run_guerdon("model info --model /nowhere 2>&1").code, 3);
}

}  // namespace
}  // namespace guerdon::test
