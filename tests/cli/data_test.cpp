// `guerdon data` as its users meet it.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/base/json_reader.h"
#include "support/data.h"
#include "support/program.h"
#include "support/temporary.h"

namespace guerdon::test {
namespace {

std::string at(const TemporaryFolder& folder, const std::string& name) {
  return (folder.path() / name).string();
}

TEST(DataMake, WritesTheSameFilesForTheSameSeed) {
  const TemporaryFolder folder;
  const std::string sizes = " --sft 20 --pairs 30 --prompts 10 --eval 5 ";
  const Ran first = run_guerdon("data make --output " + at(folder, "a") + sizes);
  EXPECT_EQ(first.code, 0) << first.out;
  EXPECT_NE(first.out.find(at(folder, "a/pairs.jsonl") + "\n"), std::string::npos);
  run_guerdon("data make --output " + at(folder, "b") + sizes);
  for (const char* file : {"sft.jsonl", "pairs.jsonl", "prompts_eval.jsonl", "truth.json"}) {
    EXPECT_EQ(read_file(folder.path() / "a" / file), read_file(folder.path() / "b" / file));
  }
  EXPECT_EQ(run_guerdon("data make --output " + at(folder, "c") + " --flip 2 2>&1").code, 2);
}

TEST(DataConvert, WritesTrlsColumns) {
  const TemporaryFolder folder;
  const auto raw = folder.file("raw.jsonl",
                               "{\"chosen\":\"\\n\\nHuman: a\\n\\nAssistant: "
                               "b\",\"rejected\":\"\\n\\nHuman: a\\n\\nAssistant: c\"}\n");
  const std::string data = " --data " + raw.string();
  EXPECT_EQ(
      run_guerdon("data convert" + data + " 2>/dev/null").out,
      R"({"prompt":[{"role":"user","content":"a"}],"chosen":[{"role":"assistant","content":"b"}],)"
      R"("rejected":[{"role":"assistant","content":"c"}]})"
      "\n");
  EXPECT_EQ(run_guerdon("data convert --to prompts" + data + " 2>/dev/null").out,
            "{\"prompt\":[{\"role\":\"user\",\"content\":\"a\"}]}\n");
  const Ran unpaired = run_guerdon("data convert --to unpaired" + data + " 2>/dev/null");
  EXPECT_NE(unpaired.out.find("\"label\":true"), std::string::npos);
  EXPECT_NE(unpaired.out.find("\"label\":false"), std::string::npos);
}

TEST(DataConvert, ARefusalIsOneLineAndNoFile) {
  const TemporaryFolder folder;
  const auto bad = folder.file("bad.jsonl", "{\"prompt\":\"a\",\"chosen\":\"b\"}\n");
  const Ran ran = run_guerdon("data convert --data " + bad.string() + " --output " +
                              at(folder, "out.jsonl") + " 2>&1");
  EXPECT_EQ(ran.code, 3);
  EXPECT_EQ(ran.out, "guerdon: error: " + bad.string() +
                         ":1: field \"rejected\" is missing (have: prompt, chosen)\n");
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "out.jsonl"));
}

TEST(DataSplit, KeepsThePromptsApart) {
  const TemporaryFolder folder;
  std::string rows;
  for (int i = 0; i < 60; ++i)
    rows += "{\"prompt\":\"p" + std::to_string(i / 2) + "\",\"completion\":\"c\"}\n";
  const auto all = folder.file("all.jsonl", rows);
  const Ran ran =
      run_guerdon("data split --data " + all.string() + " --share 0.3 --train " +
                  at(folder, "train.jsonl") + " --test " + at(folder, "test.jsonl") + " 2>&1");
  EXPECT_EQ(ran.code, 0) << ran.out;
  const std::string train = read_file(folder.path() / "train.jsonl"),
                    test = read_file(folder.path() / "test.jsonl");
  EXPECT_EQ(train.size() + test.size(), rows.size());
  for (int i = 0; i < 30; ++i) {
    const std::string prompt = "\"p" + std::to_string(i) + "\"";
    EXPECT_NE(train.find(prompt) == std::string::npos, test.find(prompt) == std::string::npos)
        << prompt;
  }
}

/// A folder with the tiny ChatML tokenizer of the encoder's fixture.
std::string model_folder(const TemporaryFolder& folder) {
  const Json files = read_json(fixture("encode.json"))["tokenizers"]["chatml"];
  folder.file("model/tokenizer.json", files["tokenizer"].dump());
  folder.file("model/tokenizer_config.json", files["tokenizer_config"].dump());
  return at(folder, "model");
}

TEST(DataInspect, ShowsEveryTokenWithRoleAndTarget) {
  const TemporaryFolder folder;
  const auto rows =
      folder.file("a.jsonl", "{\"prompt\":\"The sky\",\"completion\":\" is blue.\"}\n");
  const std::string arguments =
      "data inspect --data " + rows.string() + " --model " + model_folder(folder);
  const Ran text = run_guerdon(arguments + " 2>&1");
  EXPECT_EQ(text.code, 0) << text.out;
  EXPECT_NE(text.out.find("as sft: the row fits"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("completion  yes        1.0  \"<|im_end|>\""), std::string::npos)
      << text.out;
  EXPECT_NE(text.out.find("prompt      -          0.0  \" sky\""), std::string::npos) << text.out;
  const Json json = parse_json(run_guerdon(arguments + " --json").out, "inspect");
  EXPECT_EQ(json["sequence"]["tokens"].size(), json["sequence"]["trained"].size());
  EXPECT_EQ(run_guerdon(arguments + " --row 1 2>&1").code, 2);
  EXPECT_EQ(run_guerdon(arguments + " --as dpo 2>&1").code, 3);
}

TEST(DataLint, ExitsWith3WhenAFindingIsFatal) {
  const TemporaryFolder folder;
  const auto train = folder.file("a.jsonl",
                                 "{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"bb\"}\n"
                                 "{\"prompt\":\"q\",\"chosen\":\"aa\",\"rejected\":\"b\"}\n");
  const auto test =
      folder.file("b.jsonl", "{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"d\"}\n");
  const std::string arguments = "data lint --data " + train.string();
  EXPECT_EQ(run_guerdon(arguments + " --model " + model_folder(folder) + " 2>&1").code, 0);
  const Ran ran = run_guerdon(arguments + " --test " + test.string() + " 2>/dev/null");
  EXPECT_EQ(ran.code, 3);
  EXPECT_NE(ran.out.find("fatal: shared_prompts: 1 of 1 test rows"), std::string::npos) << ran.out;
}

}  // namespace
}  // namespace guerdon::test
