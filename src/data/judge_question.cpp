#include "guerdon/data/judge_question.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/data/formats.h"

namespace guerdon::data {
namespace {

// A template loses the line end after a tag and the one that it ends with, so there is one more.
constexpr const char* kPair = R"(Which of two responses to the instruction is better?
{%- if rubric %}


Criteria:
{{ rubric }}
{%- endif %}


[Instruction]
{{ prompt }}

[Response A]
{{ a }}

[Response B]
{{ b }}

End with [[A]] if response A is better, [[B]] if response B is, or [[C]] if they are equally good.

)";

constexpr const char* kList = R"(Judge all responses to the instruction.
{%- if principle %}


Principle:
{{ principle }}
{%- endif %}


[Instruction]
{{ prompt }}
{%- for response in responses %}


[{{ response.id }}]
{{ response.text }}
{%- endfor %}


Answer with JSON: {"scores": {"model-1": a number from 1 (worst) to 5 (best), ...}, "ranking": ["the best", ...]}

)";

std::string built_in(const std::string& form) {
  if (form == "pair") return kPair;
  if (form == "list") return kList;
  fail_settings("form", "must be pair or list, got " + show(form));
}

std::string paragraphs(const Text& text) {
  if (!is_conversational(text)) return std::get<std::string>(text);
  const auto& messages = std::get<Conversation>(text);
  if (messages.size() == 1) return messages[0].content;
  std::string out;
  for (const Message& message : messages)
    out += (out.empty() ? "" : "\n\n") + message.role + ": " + message.content;
  return out;
}

std::string after_rationale(const Fields& row, const std::string& verdict) {
  const std::string rationale = row.text_or("rationale", "");
  return rationale.empty() ? verdict : rationale + "\n" + verdict;
}

}  // namespace

JudgeQuestion::JudgeQuestion(const std::string& form, const std::string& file)
    : template_(text::ChatTemplate::parse(file.empty() ? built_in(form) : read_file(file),
                                          file.empty() ? form : file)) {}

std::string JudgeQuestion::ask(const Text& prompt, const Fields& row,
                               std::span<const Candidate> candidates) const {
  Json variables = row.json().is_object() ? row.json() : Json::object();
  variables["prompt"] = paragraphs(prompt);
  variables["responses"] = Json::array();
  for (const Candidate& candidate : candidates)
    variables["responses"].push_back({{"id", candidate.id}, {"text", candidate.text}});
  if (candidates.size() == 2) {
    variables["a"] = candidates[0].text;
    variables["b"] = candidates[1].text;
  }
  try {
    return template_.render(variables).text;
  } catch (const Error& e) {
    if (e.kind != Kind::input) throw;
    fail_input(row.where(), str("the judge's template refuses the row: ", e.what()));
  }
}

std::string response_text(const Text& text) {
  if (!is_conversational(text)) return std::get<std::string>(text);
  const auto& messages = std::get<Conversation>(text);
  return messages.empty() ? std::string() : messages.back().content;
}

std::string pair_answer(bool first_is_better, const Fields& row) {
  return after_rationale(row, first_is_better ? "[[A]]" : "[[B]]");
}

std::string list_answer(std::span<const Candidate> candidates, std::span<const double> scores,
                        const Fields& row) {
  GUERDON_CHECK(candidates.size() == scores.size(), "list_answer: ", scores.size(), " scores for ",
                candidates.size(), " candidates");
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t x, size_t y) { return scores[x] > scores[y]; });
  Json verdict = {{"scores", Json::object()}, {"ranking", Json::array()}};
  for (size_t i = 0; i < scores.size(); ++i) {
    const bool whole = scores[i] == static_cast<double>(static_cast<int64_t>(scores[i]));
    verdict["scores"][candidates[i].id] =
        whole ? Json(static_cast<int64_t>(scores[i])) : Json(scores[i]);
  }
  for (const size_t i : order) verdict["ranking"].push_back(candidates[i].id);
  return after_rationale(row, verdict.dump());
}

std::string candidate_name(size_t index) { return str("model-", index + 1); }

}  // namespace guerdon::data
