#include "guerdon/eval/detect.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "guerdon/base/random.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::eval {
namespace {

using Values = std::vector<double>;

TEST(Detect, Worked) {
  const Values machines{0.8, 0.4, 0.9}, people{0.1, 0.4, 0.35};
  const Detection found = detect(machines, people, {.resamples = 200});
  EXPECT_NEAR(found.auroc, 0.944444, 1e-6);
  EXPECT_NEAR(found.average_precision, 2.0 / 3 + 0.25, 1e-12);
  EXPECT_NEAR(found.found_at_5, 2.0 / 3, 1e-12);
  EXPECT_LE(found.interval.lower, found.auroc);
  EXPECT_EQ(found.interval.upper, 1);
  // Any rising map leaves it.
  const Values cubed_machines{0.512, 0.064, 0.729}, cubed_people{0.001, 0.064, 0.042875};
  EXPECT_NEAR(detect(cubed_machines, cubed_people, {.resamples = 1}).auroc, 0.944444, 1e-6);
  EXPECT_EQ(detection_json(found)["positives"], 3);
  test::refusal(Kind::bug, [&] { detect(machines, {}); });
}

TEST(Detect, TheIntervalCoversTheTrueArea) {
  // Two kinds that are one: the area is 1/2.
  int covered = 0;
  for (uint64_t trial = 0; trial < 100; ++trial) {
    const Random random(trial, Purpose::data);
    Values a, b;
    for (uint64_t i = 0; i < 80; ++i) {
      a.push_back(random.normal(2 * i));
      b.push_back(random.normal(2 * i + 1));
    }
    const Detection found = detect(a, b, {.resamples = 200});
    covered += found.interval.lower <= 0.5 && 0.5 <= found.interval.upper;
  }
  EXPECT_GE(covered, 88);
  EXPECT_LE(covered, 99);
}

TEST(ReadLabelled, ReadsAndRefuses) {
  const test::TemporaryFolder folder;
  const auto read = [&](const std::string& line) {
    return read_labelled(folder.file("d.jsonl", line + "\n"));
  };
  const auto text = read(R"({"text": "hello", "label": 1})");
  EXPECT_TRUE(text[0].positive);
  EXPECT_EQ(std::get<std::string>(text[0].row.responses[0].text), "hello");
  const auto scored = read(R"({"score": 0.5, "scores": {"m": 2}, "label": false})");
  EXPECT_FALSE(scored[0].positive);
  EXPECT_EQ(scored[0].scores.at(""), 0.5);
  EXPECT_EQ(scored[0].scores.at("m"), 2);
  EXPECT_TRUE(scored[0].row.responses.empty());
  const auto says = [&](const std::string& line, const std::string& what) {
    const std::string said = test::refusal(Kind::input, [&] { read(line); });
    EXPECT_NE(said.find(what), std::string::npos) << said;
    EXPECT_NE(said.find("d.jsonl:1"), std::string::npos) << said;
  };
  says(R"({"text": "x"})", "\"label\" is missing");
  says(R"({"text": "x", "label": 2})", "must be 0 or 1, got 2");
  says(R"({"label": 1})", "\"text\" is missing");
  says(R"({"label": 1, "scores": [1]})", "must be an object");
  says(R"({"label": 1, "scores": {"m": "x"}})", "\"scores.m\" must be a number");
}

}  // namespace
}  // namespace guerdon::eval
