#include "guerdon/reward/exec.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <cmath>

#include "rollouts.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon {
namespace {

using test::refusal, test::reward, test::rollout, test::score;

// A node whose program is a shell script.
std::unique_ptr<Reward> shell(const std::string& script, const std::string& more = "") {
  const Json command = {"/bin/sh", "-c", script};
  return reward(R"({"use": "exec", "on_error": "none", "command": )" + command.dump() + more + "}");
}

TEST(Exec, AnswersALineForEachRollout) {
  // The program sees the whole row: here the score is the number in its "gold".
  const auto exec = shell(
      R"(while read -r line; do echo "$line" | sed 's/.*"gold":\([0-9]*\).*/{"score": \1, "note": "seen"}/'; done)");
  const Scores s = score(*exec, {rollout("a", {{"gold", 3}}), rollout("b", {{"gold", 5}})});
  EXPECT_EQ(test::numbers(s.total), (std::vector<float>{3, 5}));
  EXPECT_EQ(s.notes[1], "exec: seen");
  EXPECT_EQ(score(*exec, {rollout("c", {{"gold", 7}})}).total.item<float>(),
            7);  // the same process
}

TEST(Exec, ANumberAloneWillDoAndNullIsNoOpinion) {
  const Scores s = score(*shell("while read -r line; do case $line in *'\"completion\":\"a\"'*) "
                                "echo 0.5;; *) echo null;; esac; done"),
                         {rollout("a"), rollout("b")});
  EXPECT_EQ(s.total[0].item<float>(), .5f);
  EXPECT_EQ(s.verdicts[1], Verdict::no_opinion);
}

TEST(Exec, WhatIsNoScoreIsAFailureOfThatRollout) {
  const std::vector<std::pair<std::string, std::string>> replies = {
      {"what", "its reply"},
      {"{}", "has no \"score\""},
      {R"({"score": "1"})", "is no number"},
      {R"({"error": "no idea"})", "no idea"},
      {"1e999", "its reply"}};
  for (const auto& [reply, text] : replies) {
    const auto exec =
        shell("while read -r line; do case $line in *'\"completion\":\"a\"'*) echo '" + reply +
              "';; *) echo 1;; esac; done");
    const Scores s = score(*exec, {rollout("a"), rollout("b")});
    EXPECT_EQ(s.verdicts[0], Verdict::failed) << reply;
    EXPECT_NE(s.notes[0].find(text), std::string::npos) << s.notes[0];
    EXPECT_EQ(s.total[1].item<float>(), 1) << reply;
  }
}

TEST(Exec, AProgramThatHangsIsKilledAndReplaced) {
  const auto exec = shell(
      "while read -r line; do case $line in *'\"completion\":\"a\"'*) sleep 60;; *) echo 1;; esac; "
      "done",
      R"(, "timeout_s": 0.2)");
  const Scores s = score(*exec, {rollout("b"), rollout("a"), rollout("b")});
  EXPECT_EQ(s.verdicts,
            (std::vector<Verdict>{Verdict::scored, Verdict::timed_out, Verdict::scored}));
  EXPECT_EQ(s.counts.at("exec/timeouts"), 1);
}

TEST(Exec, AProgramThatDiesSaysWhyAndIsReplaced) {
  const auto exec = shell(
      "while read -r line; do case $line in *'\"completion\":\"a\"'*) echo 'out of luck' >&2; exit "
      "3;; *) echo 1;; esac; done");
  const Scores s = score(*exec, {rollout("a"), rollout("b")});
  EXPECT_EQ(s.verdicts[0], Verdict::failed);
  EXPECT_EQ(s.notes[0], "exec: it ended with code 3, saying \"out of luck\"");
  EXPECT_EQ(s.total[1].item<float>(), 1);
}

TEST(Exec, AMissingProgramIsASettingsError) {
  refusal(Kind::settings, [] {
    score(*reward(R"({"use": "exec", "command": ["/no/such/program"]})"), {rollout("a")});
  });
  refusal(Kind::settings, [] { reward(R"({"use": "exec"})"); });
}

}  // namespace
}  // namespace guerdon
