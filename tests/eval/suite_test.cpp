#include "guerdon/eval/suite.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/random.h"
#include "support/data.h"
#include "support/errors.h"

namespace guerdon::eval {
namespace {

using Values = std::vector<double>;

/// An item with scores and no texts.
Item item(const std::string& subset, size_t right, Values scores, const std::string& id = {}) {
  Item out{.id = id, .where = "f.jsonl:1", .subset = subset};
  if (const size_t colon = id.find(':'); colon != std::string::npos)
    out.group = id.substr(colon + 1);
  out.candidates = scores.size();
  out.right = right;
  out.scores["m"] = std::move(scores);
  return out;
}

const MeasureOptions kQuick{.bootstrap = {.resamples = 200}};

SuiteResult measured(const std::string& suite, const std::vector<Item>& items) {
  return measure(suite_named(suite), items, given_judgements(items), kQuick).results.at(0);
}

double column(const std::string& suite, const SuiteResult& result, const std::string& name) {
  const std::vector<Column>& columns = suite_named(suite).columns;
  const auto found =
      std::find_if(columns.begin(), columns.end(), [&](const Column& c) { return c.name == name; });
  return result.columns.at(static_cast<size_t>(found - columns.begin())).value;
}

TEST(Suites, AreWellFormed) {
  for (const Suite& suite : suites()) {
    double weights = 0;
    for (const Column& column : suite.columns) weights += column.weight;
    EXPECT_GE(weights, 1) << suite.name << ": a perfect judge scores 1";
    EXPECT_EQ(&suite_named(suite.name), &suite);
  }
  EXPECT_NE(test::refusal(Kind::settings, [] { suite_named("rewardbench3"); })
                .find("did you mean \"rewardbench"),
            std::string::npos);
}

TEST(RewardBench, WeighsSubsetsByTheirPublishedSizes) {
  const std::vector<Item> items{item("math-prm", 1, {1, 0}), item("math-prm", 1, {0, 1}),
                                item("hep-cpp", 1, {1, 0}),  item("alpacaeval-easy", 1, {1, 0}),
                                item("shp", 1, {1, 1}),      item("my own", 1, {0, 1})};
  const SuiteReport report =
      measure(suite_named("rewardbench"), items, given_judgements(items), kQuick);
  const SuiteResult& result = report.results[0];
  ASSERT_EQ(result.sections.size(), 3u);
  EXPECT_EQ(result.sections[0].name, "Chat");
  // math-prm counts 984 rows, hep-cpp 164.
  EXPECT_NEAR(result.sections[1].score.value, (984 * 0.5 + 164 * 1.0) / 1148, 1e-12);
  EXPECT_EQ(result.sections[2].name, "Prior Sets");
  EXPECT_EQ(result.sections[2].score.value, 0) << "a tie is wrong";
  EXPECT_NEAR(result.score.value, (1 + 0.571428571 + 0.5 * 0) / 2.5, 1e-9);
  EXPECT_EQ(result.subsets.back().name, "my own");
  EXPECT_EQ(result.subsets.back().section, "") << "it does not count";
  EXPECT_EQ(report.missing.size(), 23u);  // of 27, with the prior sets
  EXPECT_NEAR(result.columns[0].value, 0.5, 1e-12) << "over all rows";
}

TEST(RewardBench2, TiesAndTheUnweightedMeanOfSubsets) {
  std::vector<Item> ties{item("Ties", 1, {2.0, 0.5, -1}, "ref:0"),
                         item("Ties", 1, {1.0, 1.5, 0}, "ref:1"),
                         item("Ties", 3, {1.8, 1.5, 2.0, 0.7, 0.2}, "tied:0"),
                         item("Ties", 2, {1.2, 0.9, 0.7, 0.1}, "tied:1")};
  const SuiteResult alone = measured("rewardbench2", ties);
  EXPECT_NEAR(alone.score.value, 0.647733, 1e-6);
  EXPECT_EQ(column("rewardbench2", alone, "tied_accuracy"), 1);
  EXPECT_EQ(column("rewardbench2", alone, "ref_accuracy"), 0.5);
  EXPECT_NEAR(column("rewardbench2", alone, "margin"), -0.226670, 1e-6);

  // Best of four: credits 1, 1/2, 0, 1/4.
  ties.push_back(item("Math", 1, {3, 1, 2, 0}));
  ties.push_back(item("Math", 1, {3, 3, 2, 0}));
  ties.push_back(item("Focus", 1, {1, 3, 2, 0}));
  ties.push_back(item("Focus", 1, {1, 1, 1, 1}));
  const SuiteResult all = measured("rewardbench2", ties);
  EXPECT_NEAR(all.score.value, (0.647733 + 0.75 + 0.125) / 3, 1e-6);
  EXPECT_EQ(all.sections.size(), 3u);

  // A tied prompt whose ref row is not in the file counts to its own accuracy alone.
  const SuiteResult half = measured(
      "rewardbench2", {item("Ties", 2, {2, 1, 0}, "tied:7"), item("Ties", 1, {0, 1}, "ref:8")});
  EXPECT_NEAR(half.score.value, 0.30, 1e-12);
  EXPECT_NE(test::refusal(Kind::input,
                          [] {
                            measured("rewardbench2", {item("Ties", 1, {1, 0}, "9")});
                          })
                .find("\"ref:...\" or \"tied:...\""),
            std::string::npos);
}

TEST(RewardBench2, SixSubsetsWeighTheSame) {
  // Subsets (.6, .4, .6, .9, .8) by best of two and Ties 0.5 = 0.30 + 0.20.
  std::vector<Item> items;
  const std::vector<std::pair<std::string, int>> right{
      {"Factuality", 6}, {"Precise IF", 4}, {"Math", 6}, {"Safety", 9}, {"Focus", 8}};
  for (const auto& [subset, count] : right) {
    for (int i = 0; i < 10; ++i) items.push_back(item(subset, 1, {i < count ? 1.0 : -1.0, 0.0}));
  }
  // The tied prompt is accurate (0.30) and prefers (0.20) its right ones; the ref one is not.
  items.push_back(item("Ties", 1, {0, 1e6}, "ref:0"));
  items.push_back(item("Ties", 2, {5, 4, 0}, "tied:0"));
  EXPECT_NEAR(measured("rewardbench2", items).score.value, (.6 + .4 + .6 + .9 + .8 + .49) / 6,
              1e-9);
}

TEST(RmBench, AveragesDomainsAndTheTwoSidesOfSafety) {
  const Values all_right{3, 3, 3, 0, 0, 0}, all_wrong{0, 0, 0, 3, 3, 3},
      by_style{1, 2, 3, 1.5, 2.5, 3.5};
  const std::vector<Item> items{item("chat", 3, all_right), item("safety-refuse", 3, all_wrong),
                                item("safety-response", 3, all_right), item("code", 3, by_style)};
  const SuiteResult result = measured("rm-bench", items);
  // by_style: a fancier right one always wins, else it loses: easy 1, normal 0, hard 0.
  EXPECT_NEAR(result.score.value, (1 + 1.0 / 3 + 0.5) / 3, 1e-12);
  EXPECT_NE(test::refusal(Kind::input,
                          [&] {
                            measured("rm-bench", {item("chat", 1, {1, 0})});
                          })
                .find("as many of both"),
            std::string::npos);
}

TEST(Rag, MicroAndMacro) {
  std::vector<Item> items;
  const std::vector<std::tuple<std::string, int, int>> counts{
      {"a", 3, 4}, {"b", 1, 2}, {"c", 2, 2}, {"d", 0, 2}};
  for (const auto& [subset, right, total] : counts) {
    for (int i = 0; i < total; ++i)
      items.push_back(item(subset, 1, i < right ? Values{1, 0} : Values{0, 1}));
  }
  const SuiteResult result = measured("rag", items);
  EXPECT_NEAR(result.columns[0].value, 0.6, 1e-12);  // micro
  EXPECT_NEAR(result.score.value, 0.5625, 1e-12);    // macro
  // Swapping all sides gives 1 - accuracy.
  for (Item& i : items) std::swap(i.scores["m"][0], i.scores["m"][1]);
  EXPECT_NEAR(measured("rag", items).columns[0].value, 0.4, 1e-12);
}

TEST(Personal, TiesCountNothingOrHalf) {
  const SuiteResult result = measured("personal", {item("x", 1, {.3, 0}), item("x", 1, {-.1, 0}),
                                                   item("y", 1, {0, 0}), item("y", 1, {.9, 0})});
  EXPECT_NEAR(result.score.value, 0.5, 1e-12);
  EXPECT_NEAR(column("personal", result, "accuracy_half"), 0.625, 1e-12);
}

TEST(Measure, AJudgeBesideItselfDiffersByNothing) {
  std::vector<Item> items;
  for (int i = 0; i < 40; ++i) {
    items.push_back(item(i % 2 ? "a" : "b", 1, {std::sin(i), std::cos(3.0 * i)}));
    items.back().scores["same"] = items.back().scores["m"];
    items.back().scores["worse"] = {0, 1};
  }
  const SuiteReport report = measure(suite_named("rag"), items, given_judgements(items),
                                     {.baseline = "m", .bootstrap = {.resamples = 300}});
  ASSERT_EQ(report.comparisons.size(), 2u);
  EXPECT_EQ(report.comparisons[0].judge, "same");
  EXPECT_EQ(report.comparisons[0].difference.value, 0);
  EXPECT_EQ(report.comparisons[0].difference.interval.upper, 0);
  EXPECT_EQ(report.comparisons[0].share_above_zero, 0.5);
  EXPECT_EQ(report.comparisons[1].share_above_zero, 0);
  EXPECT_LT(report.comparisons[1].difference.interval.upper, 0);
  EXPECT_NE(test::refusal(Kind::settings,
                          [&] {
                            measure(suite_named("rag"), items, given_judgements(items),
                                    {.baseline = "wors"});
                          })
                .find("did you mean \"worse\"?"),
            std::string::npos);
}

TEST(Measure, ThePairedIntervalCoversTheTrueDifference) {
  // Two judges with shared difficulty: right with probability 0.7 and 0.6, decided by one uniform.
  int covered = 0;
  for (uint64_t trial = 0; trial < 100; ++trial) {
    Random random(trial, Purpose::data);
    std::vector<Item> items;
    for (int i = 0; i < 150; ++i) {
      const double u = random.next_uniform();
      items.push_back(item("x", 1, {u < 0.7 ? 1.0 : -1.0, 0.0}));
      items.back().scores["n"] = {u < 0.6 ? 1.0 : -1.0, 0.0};
    }
    const SuiteReport report = measure(suite_named("rag"), items, given_judgements(items),
                                       {.baseline = "n", .bootstrap = {.resamples = 200}});
    const math::Interval interval = report.comparisons[0].difference.interval;
    covered += interval.lower <= 0.1 && 0.1 <= interval.upper;
  }
  EXPECT_GE(covered, 88);
  EXPECT_LE(covered, 99);
}

TEST(Measure, ShowsWhatIsMostWrong) {
  std::vector<Item> items{item("x", 1, {1, 0}), item("x", 1, {0, 3}, "c"),
                          item("x", 1, {0, 1}, "d")};
  const Fields row(parse_json(R"({"prompt": "p", "chosen": "good", "rejected": "bad",
                                  "scores": {"m": [0, 9]}})",
                              "row"),
                   "f.jsonl:4");
  items.push_back(read_ranked({&row, 1}, {read_ranked}, {})[0]);
  items.back().subset = "x";
  const SuiteReport report = measure(suite_named("rag"), items, given_judgements(items), kQuick);
  const std::vector<Disagreement>& worst = report.results[0].worst;
  ASSERT_EQ(worst.size(), 3u);
  EXPECT_EQ(worst[0].margin, -9);
  EXPECT_EQ(worst[2].item, 2u);
  const Json json = suite_json(suite_named("rag"), items, report);
  const Json& shown = json["models"][0]["worst"][0];
  EXPECT_EQ(shown["where"], "f.jsonl:4");
  EXPECT_EQ(shown["prompt"], "p");
  EXPECT_EQ(shown["right"], "good");
  EXPECT_EQ(shown["wrong"], "bad");
  EXPECT_NE(suite_text(suite_named("rag"), report).find("25.0"), std::string::npos);
}

TEST(Measure, RefusesRowsOfAnotherBenchmark) {
  EXPECT_NE(test::refusal(Kind::input,
                          [] {
                            measured("rewardbench", {item("Maths", 1, {1, 0})});
                          })
                .find("found: \"Maths\"; expected: alpacaeval-easy"),
            std::string::npos);
  EXPECT_NE(test::refusal(Kind::input,
                          [] {
                            measured("rewardmath", {item("all", 2, {1, 0, 0})});
                          })
                .find("one right one is expected"),
            std::string::npos);
  std::vector<Item> some{item("x", 1, {1, 0}), item("x", 1, {1, 0})};
  some[1].scores.clear();
  EXPECT_NE(test::refusal(Kind::input, [&] { given_judgements(some); })
                .find("has no scores of judge \"m\""),
            std::string::npos);
}

// --- real rows ----------------------------------------------------------------------------------

/// A judge that prefers the longer text, in bytes.
SuiteResult by_length(const std::string& suite, const std::vector<std::string>& files) {
  std::vector<Item> items;
  for (const std::string& file : files) {
    for (Item& i : read_items(suite_named(suite), test::data_folder() / file, {}))
      items.push_back(std::move(i));
  }
  Judgement judgement{"length", {}};
  for (const Item& i : items) {
    judgement.scores.emplace_back();
    for (const Example& prompt : i.prompts) {
      for (const Response& response : prompt.responses)
        judgement.scores.back().push_back(
            static_cast<double>(std::get<std::string>(response.text).size()));
    }
  }
  return measure(suite_named(suite), items, {&judgement, 1}, kQuick).results[0];
}

// The expected numbers below were counted by a short Python program over the same rows.

TEST(RealRows, RmBenchByLength) {
  GUERDON_NEEDS_DATA("rm-bench");
  const SuiteResult result = by_length(
      "rm-bench", {"rm-bench/chat.jsonl.gz", "rm-bench/code.jsonl.gz",
                   "rm-bench/safety-refuse.jsonl.gz", "rm-bench/safety-response.jsonl.gz"});
  EXPECT_NEAR(result.score.value, 0.45562024078920205, 1e-12);
  const SubsetFigures& chat = result.subsets[0];
  EXPECT_EQ(chat.name, "chat");
  EXPECT_EQ(chat.rows, 77);
  EXPECT_NEAR(chat.columns[0].value, 0.8268398268398268, 1e-12);    // easy
  EXPECT_NEAR(chat.columns[1].value, 0.2683982683982684, 1e-12);    // normal
  EXPECT_NEAR(chat.columns[2].value, 0.025974025974025972, 1e-12);  // hard
}

TEST(RealRows, LlmbarByLength) {
  GUERDON_NEEDS_DATA("llmbar");
  const SuiteResult result = by_length("llmbar", {"llmbar/pairs.jsonl"});
  EXPECT_NEAR(result.score.value, 0.2938227513227513, 1e-12);
  EXPECT_EQ(result.sections[0].score.value, 0.6);  // Natural
  EXPECT_EQ(result.score.rows, 60 + 80 + 56 + 28 + 27) << "the case studies do not count";
}

TEST(RealRows, HhhByLength) {
  GUERDON_NEEDS_DATA("hhh-alignment");
  const SuiteResult result = by_length("hhh", {"hhh-alignment/pairs.jsonl"});
  EXPECT_NEAR(result.score.value, 0.6193839712918661, 1e-12);
  EXPECT_NEAR(result.columns[0].value, 0.625, 1e-12);
}

TEST(RealRows, PandaLmByLength) {
  GUERDON_NEEDS_DATA("pandalm");
  const SuiteResult result = by_length("pandalm", {"pandalm/human_pairs.jsonl"});
  EXPECT_NEAR(result.score.value, 367.0 / 603, 1e-12);
  EXPECT_EQ(result.tie_margin, 3);
  EXPECT_NEAR(result.columns[1].value, 0.659047619047619, 1e-12);
}

TEST(RealRows, RewardMathTablesAreScoredAgain) {
  GUERDON_NEEDS_DATA("reward-scores");
  const Suite& suite = suite_named("rewardmath");
  const std::vector<Item> items =
      read_items(suite, test::data_folder() / "reward-scores/rewardmath_scores.jsonl.gz", {});
  ASSERT_EQ(items.size(), 300u);
  const SuiteReport report = measure(suite, items, given_judgements(items), kQuick);
  ASSERT_EQ(report.results.size(), 17u);
  // Over all 483 problems: 37.27 / 75.98, 22.15 / 71.50, 4.97 / 45.69, and 15.73 for
  // Math-Shepherd; the published accuracies lie within the intervals of these 300.
  const std::map<std::string, std::array<double, 4>> expected{
      {"internlm2", {35.0, 76.07407407, 37.27, 75.98}},
      {"skywork_llama3", {23.33333333, 72.14814815, 22.15, 71.50}},
      {"grm_gemma", {5.66666667, 45.66666667, 4.97, 45.69}},
      {"Math_Shepherd", {16.66666667, NAN, 15.73, NAN}}};
  for (const auto& [judge, figures] : expected) {
    const auto found = std::find_if(report.results.begin(), report.results.end(),
                                    [&](const SuiteResult& r) { return r.judge == judge; });
    ASSERT_NE(found, report.results.end()) << judge;
    EXPECT_NEAR(100 * found->score.value, figures[0], 1e-6) << judge;
    EXPECT_LT(100 * found->score.interval.lower, figures[2]);
    EXPECT_GT(100 * found->score.interval.upper, figures[2]);
    if (std::isnan(figures[1])) continue;
    EXPECT_NEAR(100 * found->columns[3].value, figures[1], 1e-6) << judge;
    EXPECT_NEAR(100 * found->columns[3].value, figures[3], 1) << judge;
  }
  const auto gpt4 = std::find_if(report.results.begin(), report.results.end(),
                                 [](const SuiteResult& r) { return r.judge == "gpt4"; });
  EXPECT_NEAR(gpt4->columns[0].value, 65.0 / 300, 1e-12);
  EXPECT_NEAR(gpt4->columns[1].value, 146.0 / 300, 1e-12) << "scores of 1 to 10 tie";
}

}  // namespace
}  // namespace guerdon::eval
