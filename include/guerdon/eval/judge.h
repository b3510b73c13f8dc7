/// Any reward on rows of data: what `guerdon score` and `guerdon eval` do.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "guerdon/data/source.h"
#include "guerdon/eval/benchmark.h"
#include "guerdon/eval/items.h"
#include "guerdon/reward/reward.h"
#include "guerdon/text/tokenizer.h"

namespace guerdon::eval {

/// Response `response` of a row as a rollout: of a conversation, the last message is the text, and
/// what stands before it joins the prompt. With a tokenizer its tokens are filled in, for rewards
/// that count them. Where the row names vectors of its responses (guerdon/data/vectors.h), this
/// one's is the field "response_vector". Throws Error (Kind::input) at the row when the last
/// message is not the assistant's, or when the row is of token ids.
Rollout as_rollout(const Example& example, size_t response,
                   const text::Tokenizer* tokenizer = nullptr);

struct ResponseScore {
  double total = 0;  ///< NaN unless the verdict is `scored`
  Verdict verdict = Verdict::scored;
  std::vector<std::pair<std::string, double>> components;
  std::vector<std::pair<std::string, double>> deviations;  ///< of those that have one
  std::string note;
};

/// Of each row the scores of all its responses, in their order. The rows are judged in one call, a
/// group each; a row's score does not depend on the others where the reward keeps to its promise.
std::vector<std::vector<ResponseScore>> score_rows(Reward& reward, std::span<const Example> rows,
                                                   const text::Tokenizer* tokenizer = nullptr);

/// Preference rows with their scores, for `benchmark`. `columns` become subsets; lengths count
/// characters. Throws Error (Kind::input) at the row when the reward has no opinion about a side.
std::vector<ScoredPair> score_pairs(Reward& reward, std::span<const Example> rows,
                                    const std::vector<std::string>& columns,
                                    const text::Tokenizer* tokenizer = nullptr);

/// The scores of items' candidates, [items][candidates], for `measure`; all are judged in one call.
/// Throws Error (Kind::input) at the row when the reward has no opinion about a candidate, or the
/// file holds scores in place of texts.
std::vector<std::vector<double>> score_items(Reward& reward, std::span<const Item> items,
                                             const text::Tokenizer* tokenizer = nullptr);

}  // namespace guerdon::eval
