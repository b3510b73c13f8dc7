#include "guerdon/data/judge_question.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::data {
namespace {

using test::refusal;

const std::vector<Candidate>& two() {
  static const std::vector<Candidate> pair = {{"A", "It is 4."}, {"B", "It is 5."}};
  return pair;
}

TEST(JudgeQuestion, OfAPairShowsBothAndTheRubric) {
  const JudgeQuestion question("pair");
  const Fields row(Json{{"rubric", "1. right"}}, "rows.jsonl:1");
  const std::string asked = question.ask(std::string("2 + 2?"), row, two());
  EXPECT_EQ(asked,
            "Which of two responses to the instruction is better?\n\nCriteria:\n1. right\n\n"
            "[Instruction]\n2 + 2?\n\n[Response A]\nIt is 4.\n\n[Response B]\nIt is 5.\n\n"
            "End with [[A]] if response A is better, [[B]] if response B is, or [[C]] if they are "
            "equally good.\n");
  EXPECT_EQ(question.ask(std::string("2 + 2?"), {}, two()).find("Criteria"), std::string::npos);
}

TEST(JudgeQuestion, OfAConversationSaysWhoSpoke) {
  const JudgeQuestion question("pair");
  const Conversation turns = {{"system", "Be brief.", {}}, {"user", "2 + 2?", {}}};
  EXPECT_NE(question.ask(turns, {}, two()).find("\nsystem: Be brief.\n\nuser: 2 + 2?\n"),
            std::string::npos);
  const Conversation one = {{"user", "2 + 2?", {}}};
  EXPECT_NE(question.ask(one, {}, two()).find("[Instruction]\n2 + 2?\n"), std::string::npos);
}

TEST(JudgeQuestion, OfAListNamesItsResponses) {
  const JudgeQuestion question("list");
  const std::vector<Candidate> list = {{"model-1", "x"}, {"model-2", "y"}, {"model-3", "z"}};
  const std::string asked =
      question.ask(std::string("p"), Fields(Json{{"principle", "Be kind."}}, "r:1"), list);
  EXPECT_NE(
      asked.find("Principle:\nBe kind.\n\n[Instruction]\np\n\n[model-1]\nx\n\n[model-2]\ny\n\n"
                 "[model-3]\nz\n\nAnswer with JSON: {\"scores\""),
      std::string::npos)
      << asked;
}

TEST(JudgeQuestion, OfOnesOwnSeesEveryColumn) {
  const test::TemporaryFolder folder;
  const std::string file = folder
                               .file("q.jinja",
                                     "{{ level }}: {{ prompt }} {% for r in responses %}{{ r.id "
                                     "}}={{ r.text }};{% endfor %}")
                               .string();
  EXPECT_EQ(
      JudgeQuestion("pair", file).ask(std::string("p"), Fields(Json{{"level", 3}}, "r:1"), two()),
      "3: p A=It is 4.;B=It is 5.;");
  const std::string broken = folder.file("b.jinja", "{% if %}").string();
  EXPECT_TRUE(refusal(Kind::input, [&] { JudgeQuestion("pair", broken); }).starts_with(broken));
  const std::string strict = folder.file("s.jinja", "{{ raise_exception('no') }}").string();
  EXPECT_EQ(refusal(Kind::input,
                    [&] {
                      JudgeQuestion("pair", strict)
                          .ask(std::string("p"), Fields(Json::object(), "r:7"), two());
                    })
                .substr(0, 38),
            "r:7: the judge's template refuses the ");
  EXPECT_EQ(refusal(Kind::settings, [] { JudgeQuestion("trio"); }),
            "form: must be pair or list, got \"trio\"");
}

TEST(JudgeAnswers, AreWhatTheQuestionAsksFor) {
  EXPECT_EQ(pair_answer(true, {}), "[[A]]");
  EXPECT_EQ(pair_answer(false, Fields(Json{{"rationale", "A errs."}}, "r:1")), "A errs.\n[[B]]");
  const std::vector<Candidate> list = {{"model-1", "x"}, {"model-2", "y"}, {"model-3", "z"}};
  const std::vector<double> scores = {2, 4.5, 2};
  EXPECT_EQ(
      list_answer(list, scores, {}),
      R"({"scores":{"model-1":2,"model-2":4.5,"model-3":2},"ranking":["model-2","model-1","model-3"]})");
}

}  // namespace
}  // namespace guerdon::data
