#include "base/settings_yaml.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "guerdon/base/settings.h"
#include "guerdon/base/version.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon {
namespace {

TEST(Yaml, ReadsWhatAJsonFileWouldSay) {
  const Json expected = Json::parse(R"({
    "model_name_or_path": "models/a", "learning_rate": 1e-6, "seed": 7, "bf16": false, "note": null,
    "name": "true", "loss_type": ["sigmoid", "sft"], "lora": {"r": 16, "alpha": 0.5}
  })");
  EXPECT_EQ(parse_yaml(R"(# a comment
model_name_or_path: models/a
learning_rate: 1e-6
seed: 7
bf16: false
note: ~
name: "true"
loss_type: [sigmoid, sft]
lora:
  r: 16
  alpha: .5
)",
                       "a.yaml"),
            expected);
}

TEST(Yaml, KeepsTheOrderOfKeys) {
  EXPECT_EQ(parse_yaml("b: 1\na: 2\n", "a.yaml").dump(), R"({"b":1,"a":2})");
}

TEST(Yaml, FollowsAliases) {
  EXPECT_EQ(parse_yaml("a: &x [1, 2]\nb: *x\n", "a.yaml").dump(), R"({"a":[1,2],"b":[1,2]})");
}

TEST(Yaml, WordsThatLookLikeNumbersStayWords) {
  EXPECT_EQ(parse_yaml("[1.2.3, 2024-01-01, 1-2, '7', -, +, e5]", "a.yaml").dump(),
            R"(["1.2.3","2024-01-01","1-2","7","-","+","e5"])");
}

TEST(Yaml, RefusesWithThePlace) {
  const auto refused = [](const std::string& text) {
    return test::refusal(Kind::settings, [&] { parse_yaml(text, "a.yaml"); });
  };
  EXPECT_EQ(refused("a: 1\na: 2\n"), "a.yaml:2:1: key \"a\" is there twice");
  EXPECT_EQ(refused("a: 1\n[b]: 2\n").substr(0, 9), "a.yaml:2:");
  EXPECT_NE(refused("a: [1, 2\n").find("is not YAML"), std::string::npos);
  EXPECT_NE(refused("a: 99999999999999999999\n").find("too large"), std::string::npos);
}

TEST(Yaml, RefusesWhatIsNotUtf8) {
  for (const char* text : {"u\xF3"
                           "e: sum\n",
                           "word: \xFF\n"}) {
    EXPECT_EQ(test::refusal(Kind::settings, [&] { parse_yaml(text, "a.yaml"); }),
              "a.yaml: is not UTF-8");
  }
}

TEST(Yaml, RefusesABombOfAliases) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 0; j < 9; ++j) text += ", " + before;
    text += "]\n";
  }
  EXPECT_NE(test::refusal(Kind::settings, [&] { parse_yaml(text, "a.yaml"); }).find("more than"),
            std::string::npos);
}

TEST(Yaml, IsChosenByTheNameOfTheFile) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(read_settings(folder.file("a.yaml", "seed: 7\n").string()).dump(), R"({"seed":7})");
  EXPECT_NE(
      test::refusal(Kind::settings, [&] { read_settings(folder.file("b.yml", "- 7\n").string()); })
          .find("b.yml"),
      std::string::npos);
}

}  // namespace
}  // namespace guerdon
