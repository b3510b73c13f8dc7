// `guerdon generate` and `guerdon rewards`, through the program.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "guerdon/base/file.h"
#include "support/program.h"
#include "train/tiny_policy.h"

namespace guerdon {
namespace {

using test::run_guerdon;

class GenerateCommand : public testing::Test {
 protected:
  GenerateCommand() { test::make_tiny_policy(folder_); }
  std::string arguments(const std::string& more) const {
    const std::string at = folder_.path().string();
    return "generate --model " + at + "/policy --data " + at +
           "/prompts.jsonl --max-new-tokens 6 " + more;
  }
  std::vector<Json> rows(const std::string& more) const {
    const test::Ran ran = run_guerdon(arguments(more) + " 2>/dev/null");
    EXPECT_EQ(ran.code, 0);
    std::vector<Json> out;
    std::istringstream text(ran.out);
    for (std::string line; std::getline(text, line);) out.push_back(parse_json(line, "output"));
    return out;
  }
  test::TemporaryFolder folder_;
};

TEST_F(GenerateCommand, WritesARowForEachSampleInOrder) {
  const std::vector<Json> out = rows("--n 2 --seed 3");
  ASSERT_EQ(out.size(), 20u);
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(out[i].at("index"), i / 2);
    EXPECT_EQ(out[i].at("sample"), i % 2);
    EXPECT_EQ(out[i].at("tokens").size(), out[i].at("logprobs").size());
    EXPECT_TRUE(out[i].at("finish_reason") == "stop" || out[i].at("finish_reason") == "length");
    EXPECT_LE(out[i].at("tokens").size(), 6u);
    // The text is that of the tokens, without the end token 0.
    std::string text;
    for (const Json& id : out[i].at("tokens")) {
      if (id.get<int>() >= 2) text += static_cast<char>('a' + id.get<int>() - 2);
    }
    EXPECT_EQ(out[i].at("completion"), text);
  }
  EXPECT_EQ(rows("--n 2 --seed 3 --slots 3"), out);
  EXPECT_NE(rows("--n 2 --seed 4"), out);
}

TEST_F(GenerateCommand, TemperatureZeroIsGreedy) {
  const std::vector<Json> out = rows("--temperature 0 --n 2");
  for (size_t i = 0; i < out.size(); i += 2)
    EXPECT_EQ(out[i].at("tokens"), out[i + 1].at("tokens"));
}

TEST_F(GenerateCommand, RefusesWithOneLineAndItsCode) {
  const auto refuse = [&](const std::string& more, int code, const std::string& text) {
    const test::Ran ran = run_guerdon(arguments(more) + " 2>&1");
    EXPECT_EQ(ran.code, code) << ran.out;
    EXPECT_NE(ran.out.find(text), std::string::npos) << ran.out;
  };
  refuse("--temperature -1", 2, "--temperature");
  refuse("--n 0", 2, "--n");
  refuse("--top-p 2", 2, "--top-p");
  folder_.file("prompts.jsonl", R"({"prompt": ""})"
                                "\n");
  refuse("", 3, "the prompt has no tokens");
  folder_.file("prompts.jsonl", R"({"text": "a"})"
                                "\n");
  refuse("", 3, "prompts are needed");
}

TEST(RewardsCommand, ListsEveryKind) {
  const test::Ran ran = run_guerdon("rewards --json 2>&1");
  EXPECT_EQ(ran.code, 0);
  for (const char* name :
       {"\"sum\"", "\"model\"", "\"exec\"", "\"truth\"", "\"accuracy\"", "\"plugin\""}) {
    EXPECT_NE(ran.out.find(name), std::string::npos) << name;
  }
  EXPECT_NE(run_guerdon("rewards").out.find("max_completion_len = 512"), std::string::npos);
}

}  // namespace
}  // namespace guerdon
