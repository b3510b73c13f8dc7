#include "guerdon/data/make.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "guerdon/base/json_reader.h"
#include "support/errors.h"

namespace guerdon::data {
namespace {
using test::refusal;

std::map<std::string, std::vector<Json>> made(const MakeOptions& options) {
  std::map<std::string, std::vector<Json>> out;
  for (const MadeFile& file : make_data(options)) {
    if (file.name == "truth.json") {
      out[file.name] = {parse_json(file.text, file.name)};
      continue;
    }
    std::istringstream lines(file.text);
    for (std::string line; std::getline(lines, line);)
      out[file.name].push_back(parse_json(line, file.name));
  }
  return out;
}

TEST(TrueAnswer, FollowsTheInstruction) {
  EXPECT_EQ(true_answer("Repeat cat 3 times:"), "cat cat cat");
  EXPECT_EQ(true_answer(" Reverse cat dog sun:\n"), "sun dog cat");
  EXPECT_EQ(true_answer("First of cat dog sun:"), "cat");
  EXPECT_EQ(true_answer("Last of cat dog sun:"), "sun");
  EXPECT_EQ(true_answer("Swap cat and dog:"), "dog and cat");
  EXPECT_EQ(true_answer("Double cat dog:"), "cat cat dog dog");
  EXPECT_EQ(true_answer("Join cat and dog and sun:"), "cat dog sun");
}

TEST(TrueReward, WorkedByHand) {
  const std::string prompt = "Reverse cat dog sun:";  // sun dog cat
  EXPECT_DOUBLE_EQ(true_reward(prompt, "sun dog cat"), 1.0);
  EXPECT_DOUBLE_EQ(true_reward(prompt, " sun  dog\tcat\n"), 1.0);
  EXPECT_DOUBLE_EQ(true_reward(prompt, ""), 0.0);
  EXPECT_DOUBLE_EQ(true_reward(prompt, " sun dog owl"), 0.6 * 2 / 3);
  EXPECT_NEAR(true_reward(prompt, "sun"), 0.6 / 3, 1e-12);
  EXPECT_NEAR(true_reward(prompt, "sure here is sun dog cat"), 0.6 * 0.5 - 0.2, 1e-12);
  std::string endless;
  for (int i = 0; i < 100'000; ++i) endless += "x ";
  EXPECT_NEAR(true_reward(prompt, endless), -0.2, 1e-12);
}

TEST(TrueReward, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(refusal(Kind::input, [] { true_reward("Sing.", "la"); }),
            "prompt \"Sing.\": is no instruction of the task \"words\"");
  for (const char* bad :
       {"", ":", "Reverse cat dog sun", "Reverse Cat dog sun:", "Repeat cat 0 times:",
        "Repeat cat 12 times:", "Swap cat dog:", "Join cat and dog:", "Reverse cat dog:"}) {
    refusal(Kind::input, [&] { true_answer(bad); });
  }
  refusal(Kind::settings, [] { true_reward("Double cat dog:", "x", "sums"); });
}

TEST(MakeData, IsAFunctionOfItsOptions) {
  const MakeOptions small{.sft = 50, .pairs = 50, .prompts = 50, .eval = 20};
  const auto first = make_data(small), second = make_data(small);
  ASSERT_EQ(first.size(), 7U);
  for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(first[i].text, second[i].text);
  MakeOptions other = small;
  other.seed = 1;
  EXPECT_NE(make_data(other)[0].text, first[0].text);
}

TEST(MakeData, HoldsOutItsEvaluationPrompts) {
  const auto files = made({.sft = 2000, .pairs = 500, .prompts = 500, .eval = 200});
  std::set<std::string> train, held;
  for (const auto& [name, rows] : files) {
    if (name == "truth.json") continue;
    for (const Json& row : rows)
      (name.find("_eval") == std::string::npos ? train : held)
          .insert(row["prompt"].get<std::string>());
  }
  for (const std::string& prompt : held) EXPECT_FALSE(train.contains(prompt)) << prompt;
}

TEST(MakeData, DemonstrationsLeaveRoom) {
  const auto files = made({.sft = 3000, .pairs = 0, .prompts = 0, .eval = 0});
  ASSERT_EQ(files.size(), 2U);
  double sum = 0, right = 0;
  for (const Json& row : files.at("sft.jsonl")) {
    const double reward =
        true_reward(row["prompt"].get<std::string>(), row["completion"].get<std::string>());
    sum += reward;
    right += reward == 1.0;
  }
  // A seventh of the instructions is "Join", where merely repeating the words is right.
  EXPECT_NEAR(right / 3000, 0.45 + 0.10 / 7, 0.04);
  EXPECT_NEAR(sum / 3000, files.at("truth.json")[0]["demonstrations_mean_reward"].get<double>(),
              1e-9);
  EXPECT_LT(sum / 3000, 0.75);
}

TEST(MakeData, PairsFollowBradleyTerry) {
  const auto files = made({.sft = 0, .pairs = 20'000, .prompts = 0, .eval = 0, .temperature = 0.4});
  // Among pairs whose rewards differ by d, the better one is chosen with probability sigmoid(d /
  // T).
  std::map<int, std::pair<double, int>> seen;  // by tenths of d: expected wins, wins; and the count
  std::map<int, int> wins;
  for (const Json& row : files.at("pairs.jsonl")) {
    const double difference = row["true_chosen"].get<double>() - row["true_rejected"].get<double>();
    EXPECT_NEAR(true_reward(row["prompt"].get<std::string>(), row["chosen"].get<std::string>()),
                row["true_chosen"].get<double>(), 1e-12);
    const int bin = static_cast<int>(std::abs(difference) * 10);
    seen[bin].first += 1.0 / (1.0 + std::exp(-std::abs(difference) / 0.4));
    seen[bin].second += 1;
    wins[bin] += difference > 0;
  }
  for (const auto& [bin, expected] : seen) {
    if (expected.second < 200) continue;
    const double deviation = 4 * std::sqrt(0.25 * expected.second);
    EXPECT_NEAR(wins[bin], expected.first, deviation) << "difference " << bin / 10.0;
  }
}

TEST(MakeData, FlipsTiesMarginsAndMessages) {
  const auto flipped =
      made({.sft = 0, .pairs = 500, .prompts = 0, .eval = 0, .temperature = 1e-3, .flip = 1.0});
  for (const Json& row : flipped.at("pairs.jsonl")) {
    EXPECT_LT(row["true_chosen"].get<double>(), row["true_rejected"].get<double>());
    EXPECT_FALSE(row.contains("margin"));
  }
  const auto ties = made({.sft = 0,
                          .pairs = 2000,
                          .prompts = 0,
                          .eval = 0,
                          .ties = true,
                          .margins = true,
                          .conversational = true});
  int tied = 0;
  for (const Json& row : ties.at("pairs.jsonl")) {
    tied += row["tie"].get<bool>();
    EXPECT_EQ(row["margin"].get<double>(),
              row["true_chosen"].get<double>() - row["true_rejected"].get<double>());
    EXPECT_EQ(row["prompt"][0]["role"], "user");
    EXPECT_EQ(row["chosen"][0]["role"], "assistant");
  }
  EXPECT_GT(tied, 0);
}

TEST(MakeData, TellsHowMuchBetterTheBetterOneIs) {
  const auto rows = made({.sft = 0, .pairs = 300, .prompts = 0, .eval = 0, .strengths = true});
  std::set<int64_t> seen;
  for (const Json& row : rows.at("pairs.jsonl")) {
    const double difference = row["true_chosen"].get<double>() - row["true_rejected"].get<double>();
    EXPECT_EQ(row["strength_mean"].get<double>(), difference);
    const auto strength = row["strength"].get<int64_t>();
    EXPECT_GT(3 * std::abs(difference), static_cast<double>(strength - 1));
    if (strength < 3) {
      EXPECT_LE(3 * std::abs(difference), static_cast<double>(strength));
    }
    seen.insert(strength);
  }
  EXPECT_EQ(seen, (std::set<int64_t>{1, 2, 3}));
}

TEST(MakeData, RatesResponses) {
  EXPECT_EQ(made({.sft = 1, .pairs = 1, .prompts = 1, .eval = 1}).count("ratings.jsonl"), 0u);
  const auto rows = made({.sft = 0, .pairs = 0, .prompts = 0, .eval = 10, .ratings = 500});
  int missing = 0, best = 0;
  for (const Json& row : rows.at("ratings.jsonl")) {
    const double reward =
        true_reward(row["prompt"].get<std::string>(), row["completion"].get<std::string>());
    EXPECT_EQ(row["helpfulness"].get<int64_t>(), std::lround(4 * std::max(0.0, reward)));
    missing += row["correctness"].is_null() + row["brevity"].is_null();
    if (reward == 1.0) {
      ++best;
      EXPECT_EQ(row["correctness"].is_null() ? 4 : row["correctness"].get<int64_t>(), 4);
      EXPECT_EQ(row["brevity"].is_null() ? 4 : row["brevity"].get<int64_t>(), 4);
    }
  }
  EXPECT_NEAR(missing, 200, 60);
  EXPECT_GT(best, 100);
  EXPECT_EQ(rows.at("ratings_eval.jsonl").size(), 10u);
}

TEST(MakeData, RanksListsOfFour) {
  const auto rows =
      made({.sft = 0, .pairs = 0, .prompts = 0, .eval = 10, .lists = 400, .temperature = 1e-3});
  for (const Json& row : rows.at("lists.jsonl")) {
    ASSERT_EQ(row["responses"].size(), 4u);
    std::set<int64_t> ranks;
    for (size_t a = 0; a < 4; ++a) {
      ranks.insert(row["ranks"][a].get<int64_t>());
      for (size_t b = 0; b < 4; ++b) {
        const auto truth = [&](size_t i) {
          return true_reward(row["prompt"].get<std::string>(),
                             row["responses"][i].get<std::string>());
        };
        if (truth(a) > truth(b) + 0.05) {
          EXPECT_LT(row["ranks"][a].get<int64_t>(), row["ranks"][b].get<int64_t>());
        }
      }
    }
    EXPECT_EQ(ranks, (std::set<int64_t>{1, 2, 3, 4}));
  }
  EXPECT_EQ(rows.at("lists_eval.jsonl").size(), 10u);
}

TEST(MakeData, ChainsGoFromTheModelsTextToThePersons) {
  const auto rows = made({.sft = 0, .pairs = 0, .prompts = 0, .eval = 40, .chains = 200});
  int64_t between = 0;
  for (const Json& row : rows.at("chains.jsonl")) {
    ASSERT_EQ(row["responses"].size(), 3u);
    EXPECT_EQ(row["ranks"], Json({1, 2, 3}));
    const std::string prompt = row["prompt"];
    const auto text = [&](size_t i) { return row["responses"][i].get<std::string>(); };
    EXPECT_EQ(text(0), " " + true_answer(prompt));
    EXPECT_NE(text(2), text(0));
    const double mixed = true_reward(prompt, text(1));
    between += mixed < 1.0 && mixed > true_reward(prompt, text(2));
  }
  EXPECT_GT(between, 40);

  std::set<int64_t> labels;
  for (const Json& row : rows.at("texts_eval.jsonl")) {
    const std::string text = row["text"];
    const size_t end = text.find(':') + 1;
    labels.insert(row["label"].get<int64_t>());
    EXPECT_EQ(row["label"] == 1, text.substr(end + 1) == true_answer(text.substr(0, end)));
  }
  EXPECT_EQ(labels, (std::set<int64_t>{0, 1}));
}

TEST(MakeData, LabelsSayWhetherAResponseIsTheAnswer) {
  const auto rows = made({.sft = 0, .pairs = 0, .prompts = 0, .eval = 10, .labels = 300});
  std::set<std::string> categories;
  int64_t right = 0;
  for (const Json& row : rows.at("labels.jsonl")) {
    const std::string prompt = row["prompt"];
    const bool is_answer = row["completion"] == " " + true_answer(prompt);
    EXPECT_EQ(row["label"], is_answer);
    right += is_answer;
    categories.insert(row["category"]);
    EXPECT_TRUE(prompt.starts_with(row["category"].get<std::string>() + " "));
  }
  EXPECT_EQ(categories.size(), 7u);
  EXPECT_NEAR(static_cast<double>(right) / 300, 0.46, 0.1);
  EXPECT_EQ(rows.at("labels_eval.jsonl").size(), 10u);
}

TEST(MakeData, RefusesOptionsOutOfRange) {
  refusal(Kind::settings, [] { make_data({.task = "sums"}); });
  refusal(Kind::settings, [] { make_data({.sft = -1}); });
  refusal(Kind::settings, [] { make_data({.temperature = 0}); });
  refusal(Kind::settings, [] { make_data({.flip = 1.5}); });
}

TEST(MakeData, FeedbackSaysWhetherAPrincipleHolds) {
  auto files = made({.sft = 0, .pairs = 0, .prompts = 0, .eval = 20, .feedback = 300});
  ASSERT_EQ(files["feedback.jsonl"].size(), 300U);
  ASSERT_EQ(files["feedback_eval.jsonl"].size(), 20U);
  std::map<std::string, int> holds;
  for (const Json& row : files["feedback.jsonl"]) {
    const bool label = row.at("label");
    holds[row.at("principle")] += label ? 1 : 0;
    if (row.at("principle") != "the answer is right") continue;
    const double quality =
        true_reward(row.at("prompt").get<std::string>(), row.at("completion").get<std::string>());
    EXPECT_EQ(label, quality == 1.0);
  }
  ASSERT_EQ(holds.size(), 3U);
  for (const auto& [principle, count] : holds) {
    EXPECT_GT(count, 20) << principle;
    EXPECT_LT(count, 100) << principle;
  }
}

TEST(MakeData, StepsAreRightUntilTheFirstWrongWord) {
  auto files = made({.sft = 0, .pairs = 0, .prompts = 0, .eval = 5, .steps = 200});
  int64_t wrong = 0;
  for (const Json& row : files["steps.jsonl"]) {
    const std::string answer = " " + true_answer(row.at("prompt").get<std::string>());
    std::string text;
    for (size_t k = 0; k < row.at("completions").size(); ++k) {
      text += row["completions"][k].get<std::string>();
      const bool right = (answer + " ").starts_with(text + " ");
      EXPECT_EQ(row.at("labels").at(k).get<bool>(), right) << row;
      wrong += !right;
    }
  }
  EXPECT_GT(wrong, 50);
}

}  // namespace
}  // namespace guerdon::data
