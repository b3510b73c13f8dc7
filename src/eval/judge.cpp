#include "guerdon/eval/judge.h"

#include <ATen/ATen.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/utf8.h"
#include "guerdon/data/vectors.h"
#include "guerdon/reward/services.h"

namespace guerdon::eval {
namespace {

int64_t characters(std::string_view text) {
  int64_t count = 0;
  for (; !text.empty(); ++count) text.remove_prefix(std::max<size_t>(utf8_length(text), 1));
  return count;
}

Conversation joined(const Text& prompt, Conversation rest) {
  Conversation out;
  if (const auto* messages = std::get_if<Conversation>(&prompt)) {
    out = *messages;
  } else if (const auto& text = std::get<std::string>(prompt); !text.empty()) {
    out.push_back({.role = "user", .content = text, .extra = {}});
  }
  for (Message& message : rest) out.push_back(std::move(message));
  return out;
}

/// A value of a column as the name of a subset.
std::string name_of_value(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

Rollout as_rollout(const Example& example, size_t response, const text::Tokenizer* tokenizer) {
  GUERDON_CHECK(response < example.responses.size(), "as_rollout: response ", response, " of ",
                example.responses.size());
  const std::string& where = example.fields.where();
  auto row = std::make_shared<Example>();
  row->id = example.id;
  row->prompt = example.prompt;
  row->fields = data::response_fields(example, response);
  Rollout out;
  out.sample = static_cast<int64_t>(response);
  const Response& given = example.responses[response];
  if (given.fields.has("ids")) fail_input(where, "holds token ids; scoring needs texts");
  if (const auto* messages = std::get_if<Conversation>(&given.text)) {
    if (messages->empty() || messages->back().role != "assistant")
      fail_input(where, "the response does not end with a message of the assistant");
    out.text = messages->back().content;
    if (messages->size() > 1)
      row->prompt = joined(example.prompt, Conversation(messages->begin(), messages->end() - 1));
  } else {
    out.text = std::get<std::string>(given.text);
  }
  if (tokenizer) out.tokens = tokenizer->encode(out.text);
  out.turns = {{0, static_cast<int64_t>(out.tokens.size()), true}};
  out.example = std::move(row);
  return out;
}

std::vector<std::vector<ResponseScore>> score_rows(Reward& reward, std::span<const Example> rows,
                                                   const text::Tokenizer* tokenizer) {
  std::vector<Rollout> rollouts;
  std::vector<int64_t> groups{0};
  for (const Example& row : rows) {
    for (size_t i = 0; i < row.responses.size(); ++i) {
      rollouts.push_back(as_rollout(row, i, tokenizer));
      rollouts.back().group = static_cast<int64_t>(groups.size()) - 1;
    }
    groups.push_back(static_cast<int64_t>(rollouts.size()));
  }
  Services nothing;
  const Scores scores = reward.score({rollouts, groups, 0, nothing});

  const Tensor total = scores.total.to(at::kDouble).contiguous();
  const Tensor components =
      scores.components.defined() ? scores.components.to(at::kDouble).contiguous() : Tensor();
  const Tensor deviation =
      scores.deviation.defined() ? scores.deviation.to(at::kDouble).contiguous() : Tensor();
  std::vector<std::vector<ResponseScore>> out(rows.size());
  for (size_t r = 0; r < rows.size(); ++r) {
    for (int64_t at = groups[r]; at < groups[r + 1]; ++at) {
      ResponseScore score{.total = total[at].item<double>()};
      const auto i = static_cast<size_t>(at);
      if (!scores.verdicts.empty()) score.verdict = scores.verdicts[i];
      if (!scores.notes.empty()) score.note = scores.notes[i];
      for (size_t k = 0; components.defined() && k < scores.names.size(); ++k) {
        score.components.emplace_back(scores.names[k],
                                      components[at][static_cast<int64_t>(k)].item<double>());
        if (!deviation.defined()) continue;
        const double own = deviation[at][static_cast<int64_t>(k)].item<double>();
        if (std::isfinite(own)) score.deviations.emplace_back(scores.names[k], own);
      }
      out[r].push_back(std::move(score));
    }
  }
  return out;
}

namespace {

ScoredPair scored_pair(const Example& example, const std::vector<ResponseScore>& scores,
                       const std::vector<std::string>& columns) {
  for (const ResponseScore& score : scores) {
    if (!std::isfinite(score.total)) {
      fail_input(example.fields.where(), "the reward has no score for this pair" +
                                             (score.note.empty() ? "" : ": " + score.note));
    }
  }
  ScoredPair out{.chosen = scores[0].total,
                 .rejected = scores[1].total,
                 .chosen_length = static_cast<double>(characters(as_rollout(example, 0).text)),
                 .rejected_length = static_cast<double>(characters(as_rollout(example, 1).text))};
  for (const std::string& column : columns) {
    if (example.fields.has(column))
      out.subsets[column] = name_of_value(example.fields.json()[column]);
  }
  if (example.fields.has("true_chosen") && example.fields.has("true_rejected")) {
    out.true_chosen = example.fields.number("true_chosen");
    out.true_rejected = example.fields.number("true_rejected");
  }
  return out;
}

}  // namespace

std::vector<ScoredPair> score_pairs(Reward& reward, std::span<const Example> rows,
                                    const std::vector<std::string>& columns,
                                    const text::Tokenizer* tokenizer) {
  const std::vector<std::vector<ResponseScore>> scores = score_rows(reward, rows, tokenizer);
  std::vector<ScoredPair> out;
  for (size_t r = 0; r < rows.size(); ++r) {
    GUERDON_CHECK(scores[r].size() == 2, "score_pairs: a row has ", scores[r].size(), " responses");
    out.push_back(scored_pair(rows[r], scores[r], columns));
  }
  return out;
}

std::vector<std::vector<double>> score_items(Reward& reward, std::span<const Item> items,
                                             const text::Tokenizer* tokenizer) {
  std::vector<Example> rows;
  for (const Item& item : items) {
    if (item.prompts.empty()) fail_input(item.where, "holds scores alone, no texts to be judged");
    rows.insert(rows.end(), item.prompts.begin(), item.prompts.end());
  }
  const std::vector<std::vector<ResponseScore>> scores = score_rows(reward, rows, tokenizer);
  std::vector<std::vector<double>> out;
  size_t row = 0;
  for (const Item& item : items) {
    std::vector<double> candidates;
    for (size_t p = 0; p < item.prompts.size(); ++p, ++row) {
      for (const ResponseScore& score : scores[row]) {
        if (!std::isfinite(score.total)) {
          fail_input(item.where,
                     str("the reward has no score for candidate ", candidates.size() + 1) +
                         (score.note.empty() ? "" : ": " + score.note));
        }
        candidates.push_back(score.total);
      }
    }
    out.push_back(std::move(candidates));
  }
  return out;
}

}  // namespace guerdon::eval
