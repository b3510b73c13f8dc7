// Recipes: what a file means, and what `guerdon run` makes of it.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/recipe.h"
#include "guerdon/base/file.h"
#include "support/errors.h"
#include "support/program.h"
#include "support/temporary.h"

namespace guerdon::cli {
namespace {

using test::Ran;
using test::refusal;
using test::run_guerdon;
using test::TemporaryFolder;

Recipe read(const TemporaryFolder& folder, const std::string& text, RecipeOptions options = {}) {
  std::filesystem::path output;
  if (options.output.empty()) options.output = "out";
  return read_recipe(folder.file("r.json", text).string(), options, output);
}

bool has(const std::string& text, const std::string& what) {
  return text.find(what) != std::string::npos;
}

TEST(Recipe, LaterStagesFindEarlierResults) {
  const TemporaryFolder folder;
  const Recipe recipe = read(folder, R"({ // comments are fine
    "stages": [
      {"name": "data", "command": "data make", "sft": 10, "temperature": -0.5, "ties": true, "margins": false},
      {"name": "sft", "command": "train sft", "data": {"train": ["@data/sft.jsonl"]}, "max_steps": 3},
      {"name": "look", "command": "eval reward", "model": "@sft", "by": ["a", "b"]}]})");
  ASSERT_EQ(recipe.stages.size(), 3u);
  EXPECT_EQ(recipe.title, "r");
  EXPECT_EQ(recipe.stages[0].arguments,
            (std::vector<std::string>{"data", "make", "--sft=10", "--temperature=-0.5", "--ties",
                                      "--output=out/data"}));
  EXPECT_EQ(recipe.stages[1].arguments,
            (std::vector<std::string>{"train", "sft", "--output", "out/sft"}));
  const Json settings = parse_json(recipe.stages[1].settings, "settings");
  EXPECT_EQ(settings["data"]["train"][0], "out/data/sft.jsonl");
  EXPECT_EQ(settings["max_steps"], 3);
  EXPECT_FALSE(settings.contains("name"));
  EXPECT_EQ(recipe.stages[2].arguments,
            (std::vector<std::string>{"eval", "reward", "--model=out/sft", "--by", "a", "--by", "b",
                                      "--output=out/look/result.json"}));
}

TEST(Recipe, KeysFollowSettingsAndInputs) {
  const TemporaryFolder folder;
  const auto rows = folder.file("rows.jsonl", "{}\n");
  const std::string text =
      R"({"stages":[{"name":"a","command":"data convert","data":")" + rows.string() +
      R"("},{"name":"b","command":"train sft","data":{"train":"@a/data.jsonl"}}]})";
  const Recipe first = read(folder, text), again = read(folder, text);
  EXPECT_EQ(first.stages[1].key, again.stages[1].key);
  const Recipe changed =
      read(folder, text, {.output = {}, .data = {}, .overrides = {"b.max_steps=2"}});
  EXPECT_EQ(first.stages[0].key, changed.stages[0].key);
  EXPECT_NE(first.stages[1].key, changed.stages[1].key);
  folder.file("rows.jsonl", "{\"x\":1}\n");
  const Recipe other = read(folder, text);
  EXPECT_NE(first.stages[0].key, other.stages[0].key);
  EXPECT_NE(first.stages[1].key, other.stages[1].key)
      << "a changed input changes what depends on it";
}

TEST(Recipe, RepeatsAndRefersToTheLatest) {
  const TemporaryFolder folder;
  const Recipe recipe = read(folder, R"({"stages":[{"name":"policy","command":"train sft"},
    {"name":"round","repeat":2,"stages":[{"name":"samples","command":"generate","model":"@policy"},
                                         {"name":"policy","command":"train dpo","model_name_or_path":"@policy"}]}]})",
                             {.output = {}, .data = {}, .overrides = {"round.policy.beta=0.5"}});
  ASSERT_EQ(recipe.stages.size(), 5u);
  EXPECT_EQ(recipe.stages[1].arguments[1], "--model=out/policy");
  EXPECT_EQ(recipe.stages[3].arguments[1], "--model=out/round-1/policy");
  const Json last = parse_json(recipe.stages[4].settings, "settings");
  EXPECT_EQ(last["model_name_or_path"], "out/round-1/policy");
  EXPECT_EQ(last["beta"], 0.5);
}

TEST(Recipe, TakesDataOfTheUsers) {
  const TemporaryFolder folder;
  const std::string text = R"({"stages":[
    {"name":"data","command":"data make","pairs":5,"with_data":{"command":"data split","data":"$data"}},
    {"name":"truth","command":"score","reward":"truth","with_data":false},
    {"name":"rm","command":"train reward","a":1,"b":2,"with_data":{"a":3,"b":null}}]})";
  const Recipe own = read(folder, text),
               theirs = read(folder, text, {.output = {}, .data = "x.jsonl"});
  EXPECT_EQ(own.stages.size(), 3u);
  ASSERT_EQ(theirs.stages.size(), 2u);
  EXPECT_EQ(theirs.stages[0].arguments, (std::vector<std::string>{"data", "split", "--data=x.jsonl",
                                                                  "--train=out/data/train.jsonl",
                                                                  "--test=out/data/test.jsonl"}));
  EXPECT_EQ(parse_json(theirs.stages[1].settings, "s"), Json({{"a", 3}}));
}

TEST(Recipe, RefusalsNameTheKey) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& text, RecipeOptions options = {}) {
    return refusal(Kind::settings, [&] { read(folder, text, options); });
  };
  EXPECT_TRUE(has(refused(R"({"stage":[]})"),
                  "key stage: no such key of a recipe (did you mean \"stages\"?)"));
  EXPECT_TRUE(has(refused(R"({"stages":[]})"), "key stages: a list of stages"));
  EXPECT_TRUE(
      has(refused(R"({"stages":[{"command":"score"}]})"), "key stages[0].name: is missing"));
  EXPECT_TRUE(has(refused(R"({"stages":[{"name":"../x","command":"score"}]})"), "letters, digits"));
  EXPECT_TRUE(
      has(refused(R"({"stages":[{"name":"a","command":"scroe"}]})"), "did you mean \"score\"?"));
  EXPECT_TRUE(
      has(refused(R"({"stages":[{"name":"a","command":"score"},{"name":"a","command":"score"}]})"),
          "earlier stage of the name"));
  EXPECT_TRUE(has(
      refused(
          R"({"stages":[{"name":"rm","command":"score"},{"name":"b","command":"score","reward":"@mr"}]})"),
      "key stages[1].reward: there is no earlier stage \"mr\""));
  EXPECT_TRUE(has(refused(R"({"stages":[{"name":"a","command":"score","data":"$data"}]})"),
                  "--data FILE.jsonl"));
  EXPECT_TRUE(
      has(refused(R"({"stages":[{"name":"a","command":"score"}]})", {.output = {}, .data = "x"}),
          "has no place for a data file"));
  EXPECT_TRUE(has(refused(R"({"stages":[{"name":"grpo","command":"train grpo"}]})",
                          {.output = {}, .data = {}, .overrides = {"gpro.beta=1"}}),
                  "did you mean \"grpo\"?"));
}

TEST(Run, DoesWhatIsMissingAndNothingElse) {
  const TemporaryFolder folder;
  const auto recipe = folder.file("r.json", R"({"title":"two stages","stages":[
    {"name":"data","command":"data make","sft":5,"pairs":6,"prompts":5,"eval":3},
    {"name":"prompts","command":"data convert","data":"@data/pairs.jsonl","to":"prompts"}]})");
  const std::string out = (folder.path() / "out").string(),
                    command = "run " + recipe.string() + " --output " + out;
  const Ran first = run_guerdon(command + " 2>/dev/null");
  EXPECT_EQ(first.code, 0);
  EXPECT_TRUE(has(first.out, "prompts  data convert  finished"));
  EXPECT_TRUE(std::filesystem::exists(out + "/prompts/data.jsonl"));
  EXPECT_TRUE(has(read_file(out + "/report.html"), "two stages"));

  const Ran again = run_guerdon(command + " 2>&1");
  EXPECT_TRUE(has(again.out, "[1/2] data: finished before"));
  EXPECT_TRUE(has(again.out, "[2/2] prompts: finished before"));
  const Ran changed = run_guerdon(command + " prompts.to=same 2>&1");
  EXPECT_TRUE(has(changed.out, "[1/2] data: finished before"));
  EXPECT_TRUE(has(changed.out, "[2/2] prompts: data convert"));
}

TEST(Run, AFailureIsToldRecordedAndRepaired) {
  const TemporaryFolder folder;
  const auto rows = folder.file("rows.jsonl", "{\"prompt\":1}\n");
  const auto recipe = folder.file(
      "r.json", R"({"stages":[{"name":"a","command":"data convert","data":")" + rows.string() +
                    R"("},{"name":"b","command":"data convert","data":"@a/data.jsonl"}]})");
  const std::string out = (folder.path() / "out").string(),
                    command = "run " + recipe.string() + " --output " + out + " 2>&1";
  const Ran failed = run_guerdon(command);
  EXPECT_EQ(failed.code, 3) << "the stage's own code";
  EXPECT_TRUE(has(failed.out, "rows.jsonl:1"));
  EXPECT_TRUE(has(failed.out, "a stage failed"));
  EXPECT_TRUE(has(read_file(out + "/stages.json"), "\"failed\""));
  EXPECT_TRUE(has(read_file(out + "/report.html"), "failed"));
  folder.file("rows.jsonl", "{\"prompt\":\"x\"}\n");
  EXPECT_EQ(run_guerdon(command).code, 0);
}

TEST(Run, LeavesFilesOfOthersAlone) {
  const TemporaryFolder folder;
  folder.file("out/data/precious.txt", "mine");
  const auto recipe =
      folder.file("r.json", R"({"stages":[{"name":"data","command":"data make"}]})");
  const Ran ran = run_guerdon("run " + recipe.string() + " --output " +
                              (folder.path() / "out").string() + " 2>&1");
  EXPECT_EQ(ran.code, 2);
  EXPECT_TRUE(has(ran.out, "did not make"));
  EXPECT_EQ(read_file(folder.path() / "out/data/precious.txt"), "mine");
}

TEST(Run, ListsWithoutRunning) {
  const TemporaryFolder folder;
  const auto recipe =
      folder.file("r.json", R"({"stages":[{"name":"data","command":"data make","pairs":3}]})");
  const Ran ran = run_guerdon("run " + recipe.string() + " --list --output " +
                              (folder.path() / "out").string());
  EXPECT_TRUE(has(ran.out, "data: guerdon data make --pairs=3"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "out"));
}

}  // namespace
}  // namespace guerdon::cli
