#include "guerdon/eval/judge.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "support/errors.h"

namespace guerdon::eval {
namespace {

/// Likes long texts, and has no opinion about empty ones.
class Talk final : public Reward {
 public:
  Scores score(const RewardBatch& batch) override {
    return score_each(batch, [&](const Rollout& r) -> std::optional<float> {
      prompts.push_back(r.example->prompt);
      if (r.text.empty()) return std::nullopt;
      return static_cast<float>(r.text.size());
    });
  }
  std::vector<Text> prompts;
};

Example pair(Text chosen, Text rejected, Json fields = Json::object()) {
  Example e;
  e.prompt = std::string("say");
  e.responses = {{.text = std::move(chosen), .fields = {}},
                 {.text = std::move(rejected), .fields = {}}};
  e.fields = Fields(std::move(fields), "rows.jsonl:7");
  return e;
}

std::vector<ResponseScore> scores_of(Reward& reward, const Example& row) {
  return score_rows(reward, std::span(&row, 1)).front();
}
ScoredPair scored(Reward& reward, const Example& row, const std::vector<std::string>& columns) {
  return score_pairs(reward, std::span(&row, 1), columns).front();
}

TEST(Judge, ScoresEveryResponseOfARow) {
  Talk talk;
  const auto scores = scores_of(talk, pair(std::string("four"), std::string("")));
  ASSERT_EQ(scores.size(), 2u);
  EXPECT_EQ(scores[0].total, 4);
  EXPECT_EQ(scores[1].verdict, Verdict::no_opinion);
  EXPECT_TRUE(std::isnan(scores[1].total));
}

TEST(Judge, ScoresOfSeveralRowsStayWithTheirRows) {
  Talk talk;
  std::vector<Example> rows{pair(std::string("four"), std::string("")),
                            pair(std::string("a"), std::string("bc")),
                            pair(std::string("def"), std::string("g"))};
  rows[1].responses.resize(3);
  rows[1].responses[2].text = std::string("seventh");
  const auto scores = score_rows(talk, rows);
  ASSERT_EQ(scores.size(), 3u);
  ASSERT_EQ(scores[1].size(), 3u);
  EXPECT_EQ(scores[0][0].total, 4);
  EXPECT_EQ(scores[0][1].verdict, Verdict::no_opinion);
  EXPECT_EQ(scores[1][2].total, 7);
  EXPECT_EQ(scores[2][0].total, 3);
  EXPECT_EQ(scores[2][1].total, 1);
}

TEST(Judge, OfAConversationTheLastMessageIsJudged) {
  Talk talk;
  const Conversation chat{
      {"assistant", "hm", {}}, {"user", "well?", {}}, {"assistant", "so be it", {}}};
  EXPECT_EQ(scores_of(talk, pair(chat, std::string("x")))[0].total, 8);
  const auto& prompt = std::get<Conversation>(talk.prompts[0]);
  ASSERT_EQ(prompt.size(), 3u);
  EXPECT_EQ(prompt[0].content, "say");
  EXPECT_EQ(prompt[2].content, "well?");
}

TEST(Judge, TakesSubsetsAndTruthFromTheRow) {
  Talk talk;
  const ScoredPair p = scored(
      talk,
      pair(std::string("caf\xC3\xA9"), std::string("a"),
           Json{{"kind", "odd"}, {"level", 3}, {"true_chosen", 1.0}, {"true_rejected", 0.25}}),
      {"kind", "level", "absent"});
  EXPECT_EQ(p.chosen, 5);
  EXPECT_EQ(p.chosen_length, 4) << "characters, not bytes";
  EXPECT_EQ(p.subsets, (std::map<std::string, std::string>{{"kind", "odd"}, {"level", "3"}}));
  EXPECT_EQ(p.true_rejected, 0.25);
}

TEST(Judge, RefusalsNameTheRow) {
  Talk talk;
  EXPECT_NE(
      test::refusal(Kind::input, [&] { scored(talk, pair(std::string("x"), std::string("")), {}); })
          .find("rows.jsonl:7"),
      std::string::npos);
  const Conversation open{{"user", "and?", {}}};
  EXPECT_NE(test::refusal(Kind::input, [&] { scores_of(talk, pair(open, open)); })
                .find("does not end with a message of the assistant"),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon::eval
