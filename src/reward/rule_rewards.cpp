#include "guerdon/reward/rule_rewards.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/data/make.h"
#include "guerdon/rules/answers.h"
#include "guerdon/rules/format.h"

namespace guerdon {
namespace {

/// The tokens of a response. A text whose tokens nobody counted is no text of no tokens.
const std::vector<int64_t>& tokens_of(const Rollout& rollout) {
  if (rollout.tokens.empty() && !rollout.text.empty()) {
    throw Error(Kind::settings, "", "needs the response's tokens (guerdon score --tokenizer DIR)");
  }
  return rollout.tokens;
}

}  // namespace

Scores Brevity::score(const RewardBatch& batch) {
  return score_each(batch, [&](const Rollout& rollout) -> std::optional<float> {
    if (rollout.text.empty()) return std::nullopt;
    const double excess =
        static_cast<double>(rollout.text.size()) / static_cast<double>(options_.limit) - 1.0;
    return static_cast<float>(std::clamp(1.0 - excess, 0.0, 1.0));
  });
}

Scores Length::score(const RewardBatch& batch) {
  return score_each(batch, [](const Rollout& rollout) {
    return std::optional(static_cast<float>(tokens_of(rollout).size()));
  });
}

Scores ThinkFormat::score(const RewardBatch& batch) {
  return score_each(batch, [](const Rollout& rollout) {
    return std::optional(rules::has_think_format(rollout.text) ? 1.0f : 0.0f);
  });
}

Scores Accuracy::score(const RewardBatch& batch) {
  return score_each(batch, [&](const Rollout& rollout) -> std::optional<float> {
    if (!rollout.example || !rollout.example->fields.has(options_.field)) return std::nullopt;
    const Json& right = rollout.example->fields.json()[options_.field];
    const std::string gold = right.is_string() ? right.get<std::string>() : right.dump();
    const std::string_view answer = rules::after_thinking(rollout.text);
    if (options_.match == "text") return rules::same_text(answer, gold) ? 1.0f : 0.0f;

    const std::optional<std::string> boxed_gold = rules::boxed_answer(gold);
    const std::optional<double> expected = rules::number_of(boxed_gold.value_or(gold));
    if (!expected) return std::nullopt;
    const std::optional<std::string> boxed = rules::boxed_answer(answer);
    const std::optional<double> actual =
        boxed ? rules::number_of(*boxed) : rules::last_number(answer);
    return actual && rules::same_number(*actual, *expected) ? 1.0f : 0.0f;
  });
}

Scores RepetitionPenalty::score(const RewardBatch& batch) {
  return score_each(batch, [&](const Rollout& rollout) {
    return std::optional(static_cast<float>(
        options_.max_penalty * rules::repeated_share(tokens_of(rollout), options_.ngram_size)));
  });
}

Scores SoftOverlong::score(const RewardBatch& batch) {
  return score_each(batch, [&](const Rollout& rollout) {
    return std::optional(static_cast<float>(
        rules::soft_overlong(static_cast<int64_t>(tokens_of(rollout).size()),
                             options_.max_completion_len, options_.soft_punish_cache)));
  });
}

Scores Truth::score(const RewardBatch& batch) {
  return score_each(batch, [&](const Rollout& rollout) -> std::optional<float> {
    if (!rollout.example) return std::nullopt;
    const Text& prompt = rollout.example->prompt;
    const auto* messages = std::get_if<Conversation>(&prompt);
    if (messages && messages->empty()) return std::nullopt;
    const std::string& instruction =
        messages ? messages->back().content : std::get<std::string>(prompt);
    return static_cast<float>(data::true_reward(instruction, rollout.text, options_.task));
  });
}

void describe(SettingList& field, Truth::Options& o) {
  field("task", o.task, "Which synthetic task");
}

void describe(SettingList& field, Brevity::Options& o) {
  field("limit", o.limit, "Characters that cost nothing", {.min = 1});
}

void describe(SettingList& field, Accuracy::Options& o) {
  field("field", o.field, "Column of the data that holds the right answer");
  field("match", o.match, "What is compared", {.choices = {"number", "text"}});
}

void describe(SettingList& field, RepetitionPenalty::Options& o) {
  field("ngram_size", o.ngram_size, "Tokens in an n-gram", {.min = 1});
  field("max_penalty", o.max_penalty, "Score of a response that only repeats itself", {.max = 0.0});
}

void describe(SettingList& field, SoftOverlong::Options& o) {
  field("max_completion_len", o.max_completion_len, "Tokens from which on the score is -1",
        {.min = 1});
  field("soft_punish_cache", o.soft_punish_cache, "Width of the slope before it, in tokens",
        {.min = 0});
}

}  // namespace guerdon
