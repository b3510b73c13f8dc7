#include "guerdon/data/lint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "guerdon/base/json_reader.h"
#include "support/data.h"
#include "support/temporary.h"

namespace guerdon::data {
namespace {
using test::TemporaryFolder;

std::string pair(const std::string& prompt, const std::string& chosen,
                 const std::string& rejected) {
  return Json{{"prompt", prompt}, {"chosen", chosen}, {"rejected", rejected}}.dump() + "\n";
}

const Finding* find(const std::vector<Finding>& findings, const std::string& name) {
  const auto found = std::find_if(findings.begin(), findings.end(),
                                  [&](const Finding& f) { return f.name == name; });
  return found == findings.end() ? nullptr : &*found;
}

std::vector<Finding> lint_text(const std::string& train, const std::string& test = {}) {
  const TemporaryFolder folder;
  const DataSource source(folder.file("train.jsonl", train));
  if (test.empty()) return lint({&source}, {}, nullptr, nullptr);
  const DataSource held(folder.file("test.jsonl", test));
  return lint({&source}, {&held}, nullptr, nullptr);
}

std::string good_pairs(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    const std::string n = std::to_string(i);
    out += i % 2 ? pair("question " + n, "right", "a longer wrong")
                 : pair("question " + n, "a longer right", "wrong");
  }
  return out;
}

TEST(Lint, FindsNothingFatalInGoodPairs) {
  const auto findings = lint_text(good_pairs(100));
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].name, "length_bias");
  EXPECT_EQ(findings[0].severity, Severity::note);
  EXPECT_EQ(findings[0].text,
            "the longer answer is chosen in 50 % of 100 pairs of unequal length (mean 9.5 against "
            "9.5 characters)");
}

TEST(Lint, FindsEqualSwappedDuplicateAndContradictoryPairs) {
  const auto findings = lint_text(good_pairs(100) + pair("e", "same", "same") +
                                  pair("s", "a", "b") + pair("s", "b", "a") + pair("d", "x", "y") +
                                  pair("d", "x", "y") + pair("c", "p", "q") + pair("c", "q", "r"));
  for (const char* name :
       {"identical_pairs", "swapped_pairs", "duplicate_rows", "contradictory_answers"}) {
    const Finding* finding = find(findings, name);
    ASSERT_NE(finding, nullptr) << name;
    EXPECT_EQ(finding->count, 1) << name;
    EXPECT_EQ(finding->severity, Severity::warning) << name;
  }
  EXPECT_TRUE(find(findings, "swapped_pairs")->where.at(0).ends_with("train.jsonl:103"));
}

TEST(Lint, ManyEqualOrSwappedPairsAreFatal) {
  EXPECT_EQ(find(lint_text(good_pairs(9) + pair("e", "s", "s")), "identical_pairs")->severity,
            Severity::fatal);
  EXPECT_EQ(
      find(lint_text(good_pairs(10) + pair("s", "a", "b") + pair("s", "b", "a")), "swapped_pairs")
          ->severity,
      Severity::fatal);
}

TEST(Lint, FindsPromptsThatTrainingAndTestShare) {
  const auto findings =
      lint_text(good_pairs(4), pair("question 1", "a", "b") + pair("Question  2?", "a", "b") +
                                   pair("new", "a", "b"));
  EXPECT_EQ(find(findings, "shared_prompts")->severity, Severity::fatal);
  EXPECT_EQ(find(findings, "shared_prompts")->count, 1);
  EXPECT_EQ(find(findings, "similar_prompts")->severity, Severity::warning);
  EXPECT_EQ(find(findings, "similar_prompts")->count, 1);
}

TEST(Lint, SaysWhenLengthAloneWouldDo) {
  std::string rows;
  for (int i = 0; i < 10; ++i) rows += pair(std::to_string(i), "a long answer", "short");
  EXPECT_EQ(find(lint_text(rows), "length_bias")->severity, Severity::warning);
}

/// The tiny tokenizer of the encoder's fixture, whose template is ChatML, with or without its end
/// token.
struct Model {
  TemporaryFolder folder;
  text::Tokenizer tokenizer = load();
  text::ChatTemplate chat_template = text::ChatTemplate::load(folder.path());

  text::Tokenizer load() const {
    const Json files = read_json(test::fixture("encode.json"))["tokenizers"]["chatml"];
    folder.file("tokenizer.json", files["tokenizer"].dump());
    folder.file("tokenizer_config.json", files["tokenizer_config"].dump());
    return text::Tokenizer::load(folder.path());
  }
};

TEST(Lint, CountsCutsAndUntrainedEnds) {
  const Model model;
  const TemporaryFolder folder;
  std::string rows;
  for (int i = 0; i < 8; ++i) {
    rows += Json{{"prompt", "The sky"}, {"completion", i < 6 ? " is blue." : std::string(200, 'x')}}
                .dump() +
            "\n";
  }
  const DataSource source(folder.file("train.jsonl", rows));
  const Encoder with(model.tokenizer, &model.chat_template);
  const auto findings = lint({&source}, {}, &model.tokenizer, &with, {.max_length = 50});
  EXPECT_EQ(find(findings, "truncated")->count, 2);
  EXPECT_EQ(find(findings, "truncated")->severity, Severity::warning);
  EXPECT_EQ(find(findings, "untrained_end"), nullptr);

  const Encoder without(model.tokenizer, &model.chat_template, {.append_eos = false});
  EXPECT_EQ(find(lint({&source}, {}, &model.tokenizer, &without), "untrained_end")->severity,
            Severity::fatal);
  EXPECT_EQ(find(lint({&source}, {}, &model.tokenizer, &with,
                      {.max_length = 5, .truncation_mode = TruncationMode::filter}),
                 "truncated")
                ->severity,
            Severity::fatal);
}

TEST(Lint, FindsPromptsThatDoNotBeginTheirRow) {
  const Model model;
  const TemporaryFolder folder;
  const DataSource source(
      folder.file("a.jsonl", "{\"prompt\":\"The sk\",\"completion\":\"y is blue.\"}\n"));
  const Encoder with(model.tokenizer, &model.chat_template);
  EXPECT_EQ(find(lint({&source}, {}, &model.tokenizer, &with), "unstable_prompt")->count, 1);
}

}  // namespace
}  // namespace guerdon::data
