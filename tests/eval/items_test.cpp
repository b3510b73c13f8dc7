#include "guerdon/eval/items.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/data.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::eval {
namespace {

std::vector<Fields> rows(const std::vector<std::string>& lines) {
  std::vector<Fields> out;
  for (size_t i = 0; i < lines.size(); ++i)
    out.emplace_back(parse_json(lines[i], "rows"), "f.jsonl:" + std::to_string(i + 1));
  return out;
}

std::vector<std::string> texts(const Item& item) {
  std::vector<std::string> out;
  for (const Example& prompt : item.prompts) {
    for (const Response& response : prompt.responses)
      out.push_back(std::get<std::string>(response.text));
  }
  return out;
}

using Strings = std::vector<std::string>;
using Values = std::vector<double>;

TEST(ReadRanked, TakesOneResponseOrLists) {
  const auto items = read_ranked(
      rows(
          {R"({"id": 7, "subset": "a", "prompt": "p", "chosen": "c", "rejected": "r"})",
           R"({"prompt": [{"role": "user", "content": "p"}], "chosen": ["c"], "rejected": ["r", "s"],
                "num_correct": 1})",
           R"({"id": "tied:3", "question": "q", "documents": [{"title": "T", "text": "t"}],
                "chosen": ["c", "d"], "rejected": ["r"]})"}),
      {read_ranked}, {});
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[0].id, "7");
  EXPECT_EQ(items[0].subset, "a");
  EXPECT_EQ(items[1].subset, "all");
  EXPECT_EQ(texts(items[1]), (Strings{"c", "r", "s"}));
  EXPECT_EQ(items[2].right, 2u);
  EXPECT_EQ(items[2].group, "3");
  EXPECT_EQ(std::get<std::string>(items[2].prompts[0].prompt),
            "Documents:\n[1] T t\n\nQuestion: q");
}

TEST(ReadRanked, ShowsTheUserOnRequest) {
  const auto row = rows({R"({"question": "q", "profile": [{"id": 1, "category": "C", "text": "t"}],
                             "chosen": "c", "rejected": "r"})"});
  const auto prompt = [&](const std::string& context) {
    return std::get<std::string>(
        read_ranked(row, {read_ranked}, {.context = context})[0].prompts[0].prompt);
  };
  EXPECT_EQ(prompt("none"), "q");
  EXPECT_EQ(prompt("profile"), "The user has asked before:\n[1] C t\n\nQuestion: q");
  EXPECT_NE(test::refusal(Kind::input, [&] { prompt("rubric"); }).find("rubric_aspects"),
            std::string::npos);
}

TEST(ReadRanked, ReadsTablesOfScores) {
  const auto items = read_ranked(
      rows(
          {R"({"id": 1, "subset": "a", "model": "m", "scores_chosen": 2.5, "scores_rejected": [1]})",
           R"({"id": 2, "score_chosen": [1, 2, 3], "score_rejected": [4, 5, 6]})",
           R"({"id": "ref:4", "subset": "Ties", "scores": [3, 1, 2], "num_correct": 2})",
           R"({"id": 4, "scores": {"m": [1, 2], "n": [[0.5, 0.5], []]}})"}),
      {read_ranked}, {});
  EXPECT_EQ(items[0].scores.at("m"), (Values{2.5, 1}));
  EXPECT_EQ(items[1].scores.at(""), (Values{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(items[1].right, 3u);
  EXPECT_EQ(items[2].right, 2u);
  EXPECT_EQ(items[3].scores.at("n"), (Values{0.5, 0.5})) << "scores of steps are reduced";
}

TEST(ReadRanked, RefusalsNameRowKeyAndWhatIsExpected) {
  const auto says = [](const std::string& line, const std::string& what) {
    const std::string text = test::refusal(Kind::input, [&] {
      read_ranked(rows({R"({"prompt":"p","chosen":"c","rejected":"r"})", line}), {read_ranked}, {});
    });
    EXPECT_NE(text.find("f.jsonl:2"), std::string::npos) << text;
    EXPECT_NE(text.find(what), std::string::npos) << text;
  };
  says(R"({"prompt": "p", "chosen": "c"})", "\"rejected\" is missing");
  says(R"({"chosen": "c", "rejected": "r"})", "\"prompt\" is missing");
  says(R"({"prompt": "p", "chosen": [], "rejected": "r"})", "\"chosen\" is empty");
  says(R"({"prompt": "p", "chosen": 3, "rejected": "r"})", "chosen");
  says(R"({"prompt": "p", "chosen": ["a"], "rejected": ["b"], "num_correct": 2})",
       "\"num_correct\" says 2, \"chosen\" has 1");
  says(R"({"prompt": "p", "chosen": "a", "rejected": "b", "scores": [1, 2, 3]})",
       "has 3 scores, 2 are expected");
  says(R"({"scores": [1, "x"]})", "field \"scores\" must hold numbers, got \"x\"");
  says(R"({"scores": [1, null]})", "must hold numbers, got null");
  says(R"({"score_chosen": [1]})", "\"score_rejected\" is missing");
  says(R"({"scores": [1]})", "has 1 candidates");
}

TEST(ReadVerdicts, PutsTheBetterOneFirst) {
  const auto items = read_verdicts(
      rows({R"({"input": "i", "output_1": "a", "output_2": "b", "label": 2})",
            R"({"instruction": "do", "input": "it", "response1": "a", "response2": true,
                "annotators": [1, 1, 2]})",
            R"({"instruction": "do", "input": "", "response1": "a", "response2": "b",
                "label_0": "0", "label_1": "2", "label_2": "0"})",
            R"({"scores": [5, 6], "annotators": [2, 2, 2]})",
            R"({"scores": [5, 6], "annotators": [0, 1, 2]})"}),
      {read_verdicts}, {});
  EXPECT_EQ(texts(items[0]), (Strings{"b", "a"}));
  EXPECT_EQ(texts(items[1]), (Strings{"a", "true"}));
  EXPECT_EQ(std::get<std::string>(items[1].prompts[0].prompt), "do\nit");
  EXPECT_EQ(items[2].right, 2u) << "a tie";
  EXPECT_EQ(items[3].scores.at(""), (Values{6, 5}));
  EXPECT_EQ(items[4].right, 2u) << "no majority";
  EXPECT_NE(test::refusal(Kind::input,
                          [] {
                            read_verdicts(rows({R"({"input": "i", "output_1": "a", "output_2": "b",
                                                    "label": 3})"}),
                                          {read_verdicts}, {});
                          })
                .find("a label must be 0 (a tie), 1 or 2, got 3"),
            std::string::npos);
}

TEST(ReadSolutions, FindsTheRightOne) {
  const auto items = read_solutions(
      rows(
          {R"({"problem": "p", "solutions": ["a", "b", "c"], "correct_index": 1})",
           R"({"problem": "p", "solution_reference": ["gpt", "human_to_GPT-4"], "score": [1, 2]})",
           R"({"problem_id": 5, "problem": "p", "eval_solution": ["x", "y"],
                "solution_type": "rejected"})",
           R"({"problem_id": 5, "problem": "p", "eval_solution": ["z"], "solution_type": "chosen"})",
           R"({"problem_id": 6, "problem": "p", "solution": "v", "is_correct": true})",
           R"({"problem_id": 6, "problem": "p", "solution": "w", "is_correct": false})"}),
      {read_solutions}, {});
  ASSERT_EQ(items.size(), 4u);
  EXPECT_EQ(texts(items[0]), (Strings{"b", "a", "c"}));
  EXPECT_EQ(items[1].scores.at(""), (Values{2, 1}));
  EXPECT_EQ(texts(items[2]), (Strings{"z", "x\ny"}));
  EXPECT_EQ(items[3].id, "6");
  const auto refused = [](const std::string& line) {
    return test::refusal(Kind::input, [&] { read_solutions(rows({line}), {read_solutions}, {}); });
  };
  EXPECT_NE(refused(R"({"problem": "p", "solutions": ["a", "b"]})").find("correct_index"),
            std::string::npos);
  EXPECT_NE(refused(R"({"problem": "p", "solutions": ["a", "b"], "correct_index": 2})")
                .find("number 2 of 2, counted from 0"),
            std::string::npos);
  EXPECT_NE(refused(R"({"problem_id": 1, "problem": "p", "solution": "v", "is_correct": false})")
                .find("has 0 right solutions among 1"),
            std::string::npos);
}

TEST(ReadSolutions, TakesComparisonsWithEachWrongOne) {
  // Two lost comparisons of four: rank 3.
  const auto items = read_solutions(rows({R"({"problem": "p", "score": ["A", "B", "A", "x"],
                "chosen_position": ["A", "B", "B", "A"]})"}),
                                    {read_solutions}, {});
  EXPECT_EQ(items[0].scores.at(""), (Values{0, -1, -1, 1, 1}));
  EXPECT_EQ(items[0].right, 1u);
  EXPECT_NE(test::refusal(Kind::input,
                          [] {
                            read_solutions(rows({R"({"score": ["A"], "chosen_position": []})"}),
                                           {read_solutions}, {});
                          })
                .find("has 1 letters, \"chosen_position\" 0"),
            std::string::npos);
}

TEST(ReadContrast, PairsEachInstructionWithBothResponses) {
  const auto items =
      read_contrast(rows({R"({"query": "x1", "query_response_k": "y1", "retrieval": "x2",
                "retrieval_response_k": "y2", "scores": [0.9, 0.4, 1.1, 0.3]})",
                          R"({"query": "x1", "query_response_k": "y", "retrieval": "x2",
                "retrieval_response_k": "y"})"}),
                    {read_contrast}, {});
  ASSERT_EQ(items.size(), 1u) << "equal responses are left out";
  EXPECT_EQ(texts(items[0]), (Strings{"y1", "y2", "y2", "y1"}));
  EXPECT_EQ(std::get<std::string>(items[0].prompts[1].prompt), "x2");
  EXPECT_EQ(items[0].scores.at(""), (Values{0.9, 0.4, 0.3, 1.1}));
}

TEST(Items, NamesSubsetsAfterFilesOnRequest) {
  const RowForm form{read_ranked, {"domain"}, true};
  const auto subset = [&](const std::string& where, const std::string& row) {
    const Fields fields(parse_json(row, "row"), where);
    return read_ranked({&fields, 1}, form, {})[0].subset;
  };
  const std::string row = R"({"prompt": "p", "subset": "s", "chosen": "c", "rejected": "r"})";
  EXPECT_EQ(subset("data/safety-refuse_filtered.json:3", row), "safety-refuse");
  EXPECT_EQ(subset("chat.jsonl.gz:3", row), "chat");
  EXPECT_EQ(subset("LLMBar/Adversarial/Manual/dataset.json:1", row), "Manual");
  EXPECT_EQ(subset("total.json:1", R"({"prompt": "p", "domain": "math", "chosen": "c",
                                       "rejected": "r"})"),
            "math");
}

TEST(ReadRows, TakesColumns) {
  const test::TemporaryFolder folder;
  const auto file = folder.file("m.json", R"({
    "id": [1, 2], "scores_chosen": [0.5, 0.25], "scores_rejected": [0.125, 1], "model": "org/m"
})");
  const std::vector<Fields> found = read_rows(file);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[1].number("scores_chosen"), 0.25);
  EXPECT_EQ(found[1].text("model"), "org/m");
  EXPECT_EQ(found[1].where(), file.string() + ": row 2");
  EXPECT_NE(test::refusal(Kind::input,
                          [&] { read_rows(folder.file("n.json", R"({"a": [1], "b": [1, 2]})")); })
                .find("column \"b\" has 2 values, column \"a\" has 1"),
            std::string::npos);
  EXPECT_EQ(read_rows(folder.file("lines.json", "{\"a\": 1}\n{\"a\": 2}\n")).size(), 2u);
}

TEST(AddScores, MatchesIdsElseTheOrder) {
  const test::TemporaryFolder folder;
  auto items = read_ranked(rows({R"({"id": "a", "prompt": "p", "chosen": "c", "rejected": "r"})",
                                 R"({"id": "b", "prompt": "p", "chosen": "c", "rejected": "r"})"}),
                           {read_ranked}, {});
  add_scores(items,
             folder.file("s.jsonl",
                         "{\"id\": \"b\", \"scores\": [3, 4]}\n"
                         "{\"id\": \"a\", \"scores\": [1, 2]}\n"),
             "by id", {});
  add_scores(items, folder.file("o.jsonl", "{\"scores\": [5, 6]}\n{\"scores\": [7, 8]}\n"), "order",
             {});
  EXPECT_EQ(items[0].scores.at("by id"), (Values{1, 2}));
  EXPECT_EQ(items[0].scores.at("order"), (Values{5, 6}));
  const auto refused = [&](const std::string& content) {
    return test::refusal(Kind::input,
                         [&] { add_scores(items, folder.file("x.jsonl", content), "x", {}); });
  };
  EXPECT_NE(refused("{\"scores\": [1, 2]}\n").find("has 1 rows, 2 are expected"),
            std::string::npos);
  EXPECT_NE(refused("{\"id\": \"a\", \"scores\": [1, 2]}\n").find("no row for id \"b\""),
            std::string::npos);
  EXPECT_NE(refused("{\"id\": \"z\", \"scores\": [1, 2]}\n").find("x.jsonl:1: the data has no row"),
            std::string::npos);
  EXPECT_NE(
      refused("{\"id\": \"a\", \"scores\": [1, 2, 3]}\n").find("has 3 scores, 2 are expected"),
      std::string::npos);
  EXPECT_NE(refused("{\"id\": \"a\"}\n").find("holds no scores"), std::string::npos);
}

}  // namespace
}  // namespace guerdon::eval
