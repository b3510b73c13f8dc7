#include "guerdon/rules/judgement.h"

#include <gtest/gtest.h>

namespace guerdon::rules {
namespace {

const std::vector<std::string>& ids() {
  static const std::vector<std::string> all = {"model-1", "model-2", "model-3", "model-4"};
  return all;
}
constexpr std::optional<Preference> kA = Preference::first, kB = Preference::second,
                                    kTie = Preference::tie, kNone = std::nullopt;

TEST(ReadVerdict, InBrackets) {
  EXPECT_EQ(read_verdict("A is longer. My final verdict is: [[A]]"), kA);
  EXPECT_EQ(read_verdict("[[B]]"), kB);
  EXPECT_EQ(read_verdict("[[C]]"), kTie);
  EXPECT_EQ(read_verdict("[[Tie]]."), kTie);
  EXPECT_EQ(read_verdict("[[A>>B]]"), kA);
  EXPECT_EQ(read_verdict("[[ B > A ]]"), kB);
  EXPECT_EQ(read_verdict("[[A=B]]"), kTie);
  EXPECT_EQ(read_verdict("First I thought [[A]], now [[B]]"), kB);
  EXPECT_EQ(read_verdict("[[B]] as in list[[0]]"), kB);  // the other is none
}

TEST(ReadVerdict, OnTheLastLine) {
  EXPECT_EQ(read_verdict("Both are fine.\n\n**Verdict: B**\n"), kB);
  EXPECT_EQ(read_verdict("Winner: Response A"), kA);
  EXPECT_EQ(read_verdict("A"), kA);
  EXPECT_EQ(read_verdict(" b.\n"), kB);
  EXPECT_EQ(read_verdict("Answer: tie"), kTie);
}

TEST(ReadVerdict, ReasoningDoesNotCount) {
  EXPECT_EQ(read_verdict("<think>[[A]] perhaps</think>[[B]]"), kB);
  EXPECT_EQ(read_verdict("<think>[[A]]</think>"), kNone);
}

TEST(ReadVerdict, WhatSaysNothingIsNone) {
  for (const char* reply : {"", "I cannot say.", "[[D]]", "[[A", "A]]", "A\nand more", "score: a",
                            "Verdict: A or B", "c", "Plan A", "[[]]"})
    EXPECT_EQ(read_verdict(reply), kNone) << reply;
}

constexpr const char* kFull =
    R"(The first is best. ```json
{"scores": {"model-1": 5, "model-2": 4, "model-3": 2, "model-4": 3},
 "ranking": ["model-1", "model-2", "model-4", "model-3"]}
```)";

TEST(ReadListVerdict, AFullAnswer) {
  const ListVerdict v = read_list_verdict(kFull, ids());
  EXPECT_TRUE(v.reasons && v.parses && v.has_keys && v.covers && v.agrees);
  EXPECT_EQ(v.scores, (std::vector<std::optional<double>>{5, 4, 2, 3}));
  // RewardAnything's example: gold (5, 3, 1, 4).
  const std::vector<double> gold = {5, 3, 1, 4};
  EXPECT_NEAR(list_reward(v, gold), 0.872977, 1e-6);
}

TEST(ReadListVerdict, WhatIsMissingIsTold) {
  const std::vector<double> gold = {5, 3, 1, 4};
  const ListVerdict three = read_list_verdict(
      R"(So: {"scores": {"model-1": 5, "model-2": 4, "model-3": 2}, "ranking": ["model-1", "model-2", "model-3"]})",
      ids());
  EXPECT_TRUE(three.reasons && three.parses && three.has_keys);
  EXPECT_FALSE(three.covers || three.agrees);
  EXPECT_NEAR(list_reward(three, gold), 0.09, 1e-12);
  const ListVerdict silent = read_list_verdict(
      R"({"scores": {"model-1": 5, "model-2": 4, "model-3": 2, "model-4": 3}})", ids());
  EXPECT_FALSE(silent.reasons || silent.has_keys || silent.agrees);
  EXPECT_TRUE(silent.covers);
  const ListVerdict reversed = read_list_verdict(
      R"({"thoughts": "hm", "scores": {"model-1": 5, "model-2": 4, "model-3": 2, "model-4": 3},
          "ranking": ["model-3", "model-4", "model-2", "model-1"]})",
      ids());
  EXPECT_TRUE(reversed.reasons && reversed.covers);
  EXPECT_FALSE(reversed.agrees);
  for (const char* reply :
       {"", "{", "no object", "{\"scores\": 3}", "{'scores': {}}", "{\"a\": \"}\"}", "[1, 2]",
        R"({"scores": {"model-1": "5"}})", R"({"scores": {"x": 1, "y": 2, "z": 3, "w": 4}})"})
    EXPECT_FALSE(read_list_verdict(reply, ids()).covers) << reply;
  // Braces in prose hide nothing.
  EXPECT_TRUE(read_list_verdict("{sets {are} written so} " + std::string(kFull), ids()).covers);
}

TEST(ListAccuracy, WorkedByHand) {
  const ListAccuracy a =
      list_accuracy(std::vector<double>{5, 4, 2, 3}, std::vector<double>{5, 3, 1, 4});
  EXPECT_NEAR(a.order, 0.923077, 1e-6);
  EXPECT_NEAR(a.distribution, 0.9375, 1e-12);
  EXPECT_NEAR(a.near, 0.625, 1e-12);
  EXPECT_NEAR(a.rank, 0.916667, 1e-6);
  EXPECT_NEAR(a.total(), 0.850561, 1e-6);
  EXPECT_NEAR(a.calibration, 0.8125, 1e-12);
}

TEST(ListAccuracy, AtItsLimits) {
  const std::vector<double> gold = {5, 3, 1, 4};
  EXPECT_EQ(list_accuracy(gold, gold).total(), 1.0);
  EXPECT_EQ(list_accuracy(std::vector<double>{1, 3, 5, 2}, gold).order, 0.0);
  EXPECT_EQ(list_accuracy(std::vector<double>{3, 3, 3, 3}, gold).order, 0.5);
  EXPECT_EQ(list_accuracy(gold, std::vector<double>{2, 2, 2, 2}).order, 0.5);
  // Only the order is the same under an increasing map.
  const ListAccuracy a = list_accuracy(std::vector<double>{5, 4, 2, 3}, gold),
                     b = list_accuracy(std::vector<double>{50, 40, 20, 30}, gold);
  EXPECT_EQ(a.order, b.order);
  EXPECT_NE(a.near, b.near);
  EXPECT_NE(a.distribution, b.distribution);
  EXPECT_NE(a.calibration, b.calibration);
}

}  // namespace
}  // namespace guerdon::rules
