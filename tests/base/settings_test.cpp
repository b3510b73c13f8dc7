#include "guerdon/base/settings.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon {
namespace {

struct Adapter {
  int64_t r = 16;
};
struct Example {
  double learning_rate = 1e-4;
  int64_t steps = -1;
  bool shuffle = true;
  std::string loss_type = "sigmoid";
  std::optional<double> margin;
  std::vector<std::string> files;
  JsonSetting reward;
  Adapter lora;
};

void describe(SettingList& field, Adapter& a) { field("r", a.r, "Rank", {.min = 1}); }
void describe(SettingList& field, Example& e) {
  field("learning_rate", e.learning_rate, "Peak learning rate", {.min = 0.0, .below = 1.0});
  field("steps", e.steps, "Steps", {.min = -1});
  field("shuffle", e.shuffle, "Shuffle");
  field("loss_type", e.loss_type, "The loss", {.choices = {"sigmoid", "hinge"}});
  field("margin", e.margin, "Margin", {.above = 0.0});
  field("files", e.files, "Files");
  field("reward", e.reward, "Reward node");
  field.group("lora", e.lora);
}

Example read(const std::string& text) {
  Example e;
  apply_settings(settings_of(e), parse_json(text, "c.json", 0, {.comments = true}), "c.json");
  return e;
}
std::string refused(const std::string& text) {
  return test::refusal(Kind::settings, [&] { read(text); });
}

TEST(Settings, ReadsEveryType) {
  const Example e = read(
      R"({"learning_rate": 0.5, "steps": 10, "shuffle": false, "loss_type": "hinge", "margin": 2,
                             "files": ["a", "b"], "reward": {"use": "sum"}, "lora": {"r": 4}})");
  EXPECT_EQ(e.learning_rate, 0.5);
  EXPECT_EQ(e.steps, 10);
  EXPECT_FALSE(e.shuffle);
  EXPECT_EQ(e.loss_type, "hinge");
  EXPECT_EQ(e.margin, 2.0);
  EXPECT_EQ(e.files, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(e.reward.text, R"({"use":"sum"})");
  EXPECT_EQ(e.lora.r, 4);
  EXPECT_FALSE(read(R"({"margin": null})").margin.has_value());
}

TEST(Settings, RefusalsNameKeyRangeAndNearestName) {
  EXPECT_EQ(refused(R"({"learning_rte": 1})"),
            "c.json: key learning_rte: no such setting (did you mean \"learning_rate\"?)");
  EXPECT_EQ(refused(R"({"lora": {"rr": 1}})"),
            "c.json: key lora.rr: no such setting (did you mean \"lora.r\"?)");
  EXPECT_EQ(refused(R"({"learning_rate": 1.5})"),
            "c.json: key learning_rate: must lie in [0, 1), got 1.5");
  EXPECT_EQ(refused(R"({"learning_rate": 1})"),
            "c.json: key learning_rate: must lie in [0, 1), got 1");
  EXPECT_EQ(refused(R"({"margin": 0})"), "c.json: key margin: must be greater than 0, got 0");
  EXPECT_EQ(refused(R"({"steps": 1.5})"), "c.json: key steps: must be a whole number, got 1.5");
  EXPECT_EQ(refused(R"({"loss_type": "hing"})"),
            "c.json: key loss_type: must be one of sigmoid, hinge, got \"hing\" (did you mean "
            "\"hinge\"?)");
  EXPECT_EQ(refused(R"({"shuffle": 1})"), "c.json: key shuffle: must be true or false, got 1");
  EXPECT_EQ(refused(R"({"lora": 3})"), "c.json: key lora: must be an object, got 3");
}

TEST(Settings, OverridesReachIntoTheTree) {
  Example e;
  const SettingList list = settings_of(e);
  Json object =
      parse_json(R"({"reward": {"use": "sum", "of": [{"use": "length", "weight": 1}]}})", "c");
  override_settings(
      list, object,
      {"reward.of[0].weight=0.25", "lora.r=8", "loss_type=hinge", "learning_rate=1e-3"});
  apply_settings(list, object, "c");
  EXPECT_EQ(e.reward.text, R"({"use":"sum","of":[{"use":"length","weight":0.25}]})");
  EXPECT_EQ(e.lora.r, 8);
  EXPECT_EQ(e.loss_type, "hinge");
  EXPECT_EQ(e.learning_rate, 1e-3);
  EXPECT_NE(test::refusal(Kind::settings,
                          [&] { override_settings(list, object, {"reward.of[7].weight=1"}); })
                .find("no entry [7]"),
            std::string::npos);
  test::refusal(Kind::settings, [&] { override_settings(list, object, {"no equals sign"}); });
  EXPECT_NE(
      test::refusal(Kind::settings, [&] { override_settings(list, object, {"loss_type=\xFF"}); })
          .find("is not UTF-8"),
      std::string::npos);
}

TEST(Settings, RoundTripThroughTheirJson) {
  Example e = read(R"({"lora": {"r": 3}, "files": "one", "reward": {"use": "x"}})");
  const Json text = settings_json(settings_of(e));
  Example back;
  apply_settings(settings_of(back), text, "again");
  EXPECT_EQ(settings_json(settings_of(back)), text);
  EXPECT_EQ(text["lora"]["r"], 3);
}

TEST(Settings, AFileThatDoesNotParseIsAFaultOfTheSettings) {
  const test::TemporaryFolder folder;
  const auto file = folder.file("c.json", "{\"a\": 1,}");
  EXPECT_NE(test::refusal(Kind::settings, [&] { read_settings(file.string()); }).find("c.json:1:"),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon
