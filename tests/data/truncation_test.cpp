#include "guerdon/data/truncation.h"

#include <gtest/gtest.h>

#include <numeric>

#include "support/errors.h"

namespace guerdon::data {
namespace {
using Ids = std::vector<int64_t>;

/// Tokens 0, 1, 2, ...; those after the prompt are trained.
EncodedSequence sequence(int64_t prompt, int64_t completion, int64_t first = 0) {
  EncodedSequence out;
  out.tokens.resize(static_cast<size_t>(prompt + completion));
  std::iota(out.tokens.begin(), out.tokens.end(), 0);
  if (completion > 0) out.tokens[static_cast<size_t>(prompt)] += first;
  out.trained.assign(static_cast<size_t>(prompt), 0);
  out.trained.insert(out.trained.end(), static_cast<size_t>(completion), 1);
  out.prompt_length = prompt;
  return out;
}

TEST(Truncation, LeavesWhatFits) {
  for (const auto mode : {TruncationMode::filter, TruncationMode::keep_start,
                          TruncationMode::keep_end, TruncationMode::prompt_left}) {
    EncodedSequence row = sequence(3, 2);
    EXPECT_EQ(truncate(row, 5, mode), Cut::whole);
    EXPECT_EQ(row.tokens, (Ids{0, 1, 2, 3, 4}));
  }
}

TEST(Truncation, FilterDrops) {
  EncodedSequence row = sequence(3, 2);
  EXPECT_EQ(truncate(row, 4, TruncationMode::filter), Cut::too_long);
  EXPECT_EQ(row.tokens.size(), 5U);
}

TEST(Truncation, KeepStartCutsTheEndAndDropsPromptsThatFillEverything) {
  EncodedSequence row = sequence(3, 3);
  EXPECT_EQ(truncate(row, 4, TruncationMode::keep_start), Cut::cut);
  EXPECT_EQ(row.tokens, (Ids{0, 1, 2, 3}));
  EXPECT_EQ(row.trained, (std::vector<uint8_t>{0, 0, 0, 1}));
  EXPECT_EQ(row.prompt_length, 3);
  EncodedSequence full = sequence(3, 3);
  EXPECT_EQ(truncate(full, 3, TruncationMode::keep_start), Cut::prompt_fills);
  EncodedSequence masked = sequence(0, 4);
  masked.trained = {0, 0, 1, 1};
  EXPECT_EQ(truncate(masked, 2, TruncationMode::keep_start), Cut::nothing_trained);
}

TEST(Truncation, KeepEndCutsTheBeginning) {
  EncodedSequence row = sequence(3, 3);
  row.roles.assign(6, TokenRole::prompt);
  EXPECT_EQ(truncate(row, 4, TruncationMode::keep_end), Cut::cut);
  EXPECT_EQ(row.tokens, (Ids{2, 3, 4, 5}));
  EXPECT_EQ(row.prompt_length, 1);
  EXPECT_EQ(row.roles.size(), 4U);
}

TEST(Truncation, PromptLeftCutsThePromptOnly) {
  EncodedSequence row = sequence(4, 2);
  EXPECT_EQ(truncate(row, 3, TruncationMode::prompt_left), Cut::cut);
  EXPECT_EQ(row.tokens, (Ids{3, 4, 5}));
  EXPECT_EQ(row.prompt_length, 1);
  EncodedSequence long_answer = sequence(2, 4);
  EXPECT_EQ(truncate(long_answer, 4, TruncationMode::prompt_left), Cut::too_long);
  EncodedSequence no_prompt = sequence(0, 4);
  EXPECT_EQ(truncate(no_prompt, 3, TruncationMode::prompt_left), Cut::cut);
  EXPECT_EQ(no_prompt.tokens, (Ids{0, 1, 2}));
}

TEST(Truncation, BothSidesOfAPairKeepTheSamePrompt) {
  EncodedPair pair{sequence(4, 2), sequence(4, 1, 5)};
  EXPECT_EQ(truncate(pair, 5, TruncationMode::prompt_left), Cut::cut);
  EXPECT_EQ(pair.chosen.tokens, (Ids{1, 2, 3, 4, 5}));
  EXPECT_EQ(pair.rejected.tokens, (Ids{1, 2, 3, 9}));
}

TEST(Truncation, APairIsDroppedWithEitherSideAndWhenItsDifferenceIsCutOff) {
  EncodedPair one_long{sequence(2, 2), sequence(2, 5, 1)};
  EXPECT_EQ(truncate(one_long, 4, TruncationMode::filter), Cut::too_long);
  EncodedPair late{sequence(2, 4), sequence(2, 4)};
  late.rejected.tokens.back() = 99;
  EncodedPair copy = late;
  EXPECT_EQ(truncate(copy, 5, TruncationMode::keep_start), Cut::difference_cut_off);
  EXPECT_EQ(truncate(copy, 5, TruncationMode::keep_end), Cut::cut);
  EncodedPair equal{sequence(2, 4), sequence(2, 4)};
  EXPECT_EQ(truncate(equal, 5, TruncationMode::keep_start),
            Cut::cut);  // the data's own fault, counted by the reader
}

TEST(Truncation, PromptsKeepTheirEnd) {
  Ids prompt{1, 2, 3};
  EXPECT_EQ(truncate_prompt(prompt, 2), Cut::cut);
  EXPECT_EQ(prompt, (Ids{2, 3}));
  EXPECT_EQ(truncate_prompt(prompt, 2), Cut::whole);
}

TEST(Truncation, IsCountedByName) {
  TruncationCounts counts;
  for (const Cut cut : {Cut::whole, Cut::cut, Cut::cut, Cut::too_long, Cut::difference_cut_off})
    counts.add(cut);
  EXPECT_EQ(counts.rows(), 5);
  EXPECT_EQ(counts.dropped(), 2);
  EXPECT_EQ(counts.by_name(),
            (std::map<std::string, int64_t>{
                {"truncated", 2}, {"dropped/too_long", 1}, {"dropped/difference_cut_off", 1}}));
}

TEST(Truncation, ModesHaveTheirNames) {
  EXPECT_EQ(truncation_mode("keep_end", "x"), TruncationMode::keep_end);
  EXPECT_EQ(name_of(TruncationMode::prompt_left), "prompt_left");
  EXPECT_EQ(
      test::refusal(Kind::settings, [] { truncation_mode("keep_strat", "key truncation_mode"); }),
      "key truncation_mode: must be filter, keep_start, keep_end or prompt_left, got "
      "\"keep_strat\" (did you mean "
      "\"keep_start\"?)");
}

}  // namespace
}  // namespace guerdon::data
