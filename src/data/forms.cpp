#include "data/forms.h"

#include <algorithm>
#include <array>

namespace guerdon::data {
namespace {

Fields fields_of(Json object, const Columns& c) { return {std::move(object), c.where()}; }

Example example(Text prompt, std::vector<Text> responses) {
  Example out;
  out.prompt = std::move(prompt);
  for (Text& text : responses) out.responses.push_back({std::move(text), {}});
  return out;
}

/// A system prompt that stands in a column of its own.
void prepend_system(Conversation& conversation, const std::string& system) {
  if (!system.empty()) conversation.insert(conversation.begin(), {"system", system, {}});
}

Conversation messages(Columns& c) {
  Conversation out = c.conversation(c.has("messages") ? "messages" : "conversations");
  prepend_system(out, c.string_or_empty("system"));
  return out;
}

/// Alpaca's instruction and input, after its system prompt and history, as the user's turns.
Conversation instruction(Columns& c) {
  Conversation out;
  prepend_system(out, c.string_or_empty("system"));
  if (!c.is_null("history")) {
    const Json history = c.take("history");
    for (const Json& turn : history) {
      if (!turn.is_array() || turn.size() != 2 || !turn[0].is_string() || !turn[1].is_string()) {
        fail_input(c.where(), "field \"history\" must be a list of [question, answer]");
      }
      out.push_back({"user", turn[0].get<std::string>(), {}});
      out.push_back({"assistant", turn[1].get<std::string>(), {}});
    }
  }
  std::string content = c.string(c.has("instruction") ? "instruction" : "query");
  if (const std::string input = c.string_or_empty("input"); !input.empty()) content += "\n" + input;
  out.push_back({"user", std::move(content), {}});
  return out;
}

/// Splits a conversation that ends with an answer into what was asked and the answer.
Example split_last_answer(Conversation conversation, const std::string& where) {
  size_t begin = conversation.size();
  while (begin > 0 && !ends_a_prompt(conversation[begin - 1])) --begin;
  if (begin == 0 || begin == conversation.size()) {
    fail_input(where, begin == 0 ? "the conversation has no user message"
                                 : "the conversation does not end with an assistant message");
  }
  const auto middle = conversation.begin() + static_cast<std::ptrdiff_t>(begin);
  return example(Conversation(conversation.begin(), middle),
                 {Conversation(middle, conversation.end())});
}

/// A prompt and its answers, all brought to one kind. A plain prompt beside conversations that hold
/// it already gives way to them, as TRL has it.
Example with_prompt(Text prompt, std::vector<Text> answers, const Columns& c) {
  const auto is_plain = [](const Text& text) { return !is_conversational(text); };
  const bool plain_answers = std::all_of(answers.begin(), answers.end(), is_plain);

  if (c.transcripts() && is_plain(prompt) && plain_answers &&
      is_transcript(std::get<std::string>(prompt))) {
    Conversation turns = read_transcript(std::get<std::string>(prompt));
    if (turns.back().role == "assistant" && turns.back().content.empty()) turns.pop_back();
    prompt = std::move(turns);
    for (Text& answer : answers) {
      answer = read_transcript("\n\nAssistant:" + std::get<std::string>(answer));
    }
  }
  if (is_plain(prompt) && std::all_of(answers.begin(), answers.end(), is_plain))
    return example(std::move(prompt), std::move(answers));

  for (Text& answer : answers) answer = as_turn(answer, "assistant");
  const bool hold_the_prompt = is_plain(prompt) && answers.size() == 2 &&
                               std::all_of(answers.begin(), answers.end(), [](const Text& answer) {
                                 return std::get<Conversation>(answer).front().role != "assistant";
                               });
  if (hold_the_prompt) {
    extract_prompt(answers[0], answers[1], prompt);
  } else {
    prompt = as_turn(prompt, "user");
  }
  return example(std::move(prompt), std::move(answers));
}

Json true_or_false(Json label, const std::string& where) {
  if (label.is_boolean()) return label;
  if (label == 0 || label == 1) return label == 1;
  fail_input(where, "field \"label\" must be true or false, got " + label.dump().substr(0, 80));
}

std::vector<int64_t> token_ids(const Json& value, const char* name, int64_t least,
                               const std::string& where) {
  std::vector<int64_t> out;
  if (value.is_array()) {
    for (const Json& id : value) {
      const bool whole =
          id.is_number_integer() && (!id.is_number_unsigned() || id.get<uint64_t>() < (1U << 24));
      if (whole && id.get<int64_t>() >= least && id.get<int64_t>() < (1 << 24))
        out.push_back(id.get<int64_t>());
    }
  }
  if (!value.is_array() || out.size() != value.size()) {
    fail_input(where, str("field \"", name, "\" must be a list of token ids"));
  }
  return out;
}

// ---- the forms

Example read_pair_ids(Columns& c) {
  Example out = example(std::string(), {std::string(), std::string()});
  std::vector<int64_t> prompt;
  if (c.has("prompt_ids")) prompt = token_ids(c.take("prompt_ids"), "prompt_ids", 0, c.where());
  for (const auto& [response, name] : {std::pair(0, "chosen_ids"), std::pair(1, "rejected_ids")}) {
    std::vector<int64_t> ids = prompt;
    const std::vector<int64_t> own = token_ids(c.take(name), name, 0, c.where());
    ids.insert(ids.end(), own.begin(), own.end());
    out.responses[static_cast<size_t>(response)].fields =
        fields_of({{"ids", ids}, {"prompt_length", prompt.size()}}, c);
  }
  return out;
}

Example read_ids(Columns& c) {
  const char* name = c.has("input_ids") ? "input_ids" : "tokens";
  const std::vector<int64_t> ids = token_ids(c.take(name), name, 0, c.where());
  Json fields = {{"ids", ids}};
  if (c.has("labels")) {
    fields["labels"] = token_ids(c.take("labels"), "labels", -100, c.where());
    if (fields["labels"].size() != ids.size()) {
      fail_input(c.where(), str("field \"labels\" has ", fields["labels"].size(), " entries, ",
                                name, " has ", ids.size()));
    }
  }
  if (c.has("prompt_length")) {
    const Json length = c.take("prompt_length");
    if (!length.is_number_integer() || length < 0 || length > ids.size()) {
      fail_input(c.where(), str("field \"prompt_length\" must lie in [0, ", ids.size(), "]"));
    }
    fields["prompt_length"] = length;
  }
  Example out = example(std::string(), {std::string()});
  out.responses[0].fields = fields_of(std::move(fields), c);
  return out;
}

Example read_stepwise(Columns& c) {
  const Fields row(Json{{"completions", c.take("completions")}}, c.where());
  const std::vector<std::string> steps = row.texts("completions");
  Json labels = c.take("labels");
  if (!labels.is_array() || labels.size() != steps.size()) {
    fail_input(c.where(), str("field \"labels\" must be a list with one entry for each of the ",
                              steps.size(), " completions"));
  }
  for (Json& label : labels) label = true_or_false(label, c.where());
  std::string text;
  for (const std::string& step : steps) text += step;
  Example out = example(c.text("prompt"), {text});
  out.responses[0].fields = fields_of({{"steps", steps}, {"labels", labels}}, c);
  return out;
}

// ShareGPT: the prompt in `conversations` or `messages`.
Example read_share_gpt_pair(Columns& c) {
  Conversation prompt = messages(c);
  return with_prompt(std::move(prompt), {c.text("chosen"), c.text("rejected")}, c);
}

Example read_instruction_pair(Columns& c) {
  Conversation prompt = instruction(c);
  return with_prompt(std::move(prompt), {c.text("chosen"), c.text("rejected")}, c);
}

Example read_prompt_pair(Columns& c) {
  Text prompt = c.text("prompt");
  return with_prompt(std::move(prompt), {c.text("chosen"), c.text("rejected")}, c);
}

Example read_implicit_pair(Columns& c) {
  Text chosen = c.text("chosen"), rejected = c.text("rejected"), prompt;
  const auto transcript = [](const Text& text) {
    return !is_conversational(text) && is_transcript(std::get<std::string>(text));
  };
  if (c.transcripts() && transcript(chosen) && transcript(rejected)) {
    chosen = read_transcript(std::get<std::string>(chosen));
    rejected = read_transcript(std::get<std::string>(rejected));
  }
  if (is_conversational(chosen) != is_conversational(rejected)) {
    fail_input(c.where(), "chosen and rejected must both be plain text or both be conversations");
  }
  extract_prompt(chosen, rejected, prompt);
  return example(std::move(prompt), {std::move(chosen), std::move(rejected)});
}

// NeMo-Aligner.
Example read_response_pair(Columns& c) {
  Text prompt = c.text("prompt");
  return with_prompt(std::move(prompt), {c.text("chosen_response"), c.text("rejected_response")},
                     c);
}

// ms-swift: the chosen answer is the conversation's last.
Example read_rejected_response(Columns& c) {
  Example out;
  if (c.has("messages")) {
    out = split_last_answer(messages(c), c.where());
  } else {
    Conversation prompt = instruction(c);
    out = example(std::move(prompt), {as_turn(c.text("response"), "assistant")});
  }
  out.responses.push_back({as_turn(c.text("rejected_response"), "assistant"), {}});
  return out;
}

Example read_unpaired(Columns& c) {
  Text prompt = c.text("prompt");
  Example out = with_prompt(std::move(prompt), {c.text("completion")}, c);
  out.responses[0].fields = fields_of({{"label", true_or_false(c.take("label"), c.where())}}, c);
  return out;
}

Example read_prompt_completion(Columns& c) {
  Text prompt = c.text("prompt");
  return with_prompt(std::move(prompt), {c.text(c.has("completion") ? "completion" : "response")},
                     c);
}

// LLaMA-Factory's KTO form.
Example read_labelled_messages(Columns& c) {
  Example out = split_last_answer(messages(c), c.where());
  out.responses[0].fields = fields_of({{"label", true_or_false(c.take("label"), c.where())}}, c);
  return out;
}

// open-instruct: prompts with the answer that a verifier wants.
Example read_verifiable_messages(Columns& c) {
  Conversation all = messages(c);
  while (!all.empty() && !ends_a_prompt(all.back())) all.pop_back();
  if (all.empty()) fail_input(c.where(), "the conversation has no user message");
  return example(std::move(all), {});
}

Example read_messages(Columns& c) { return example(Conversation(), {messages(c)}); }

/// Pairs with a verdict in place of an order; `first`, `second` and `tie` are how it is told.
Example read_verdict(Text prompt, Text first, Text second, int verdict) {
  if (verdict == 0)
    return example(std::move(prompt), {});  // a tie: no responses, left out by the caller
  if (verdict == 2) std::swap(first, second);
  return example(std::move(prompt), {std::move(first), std::move(second)});
}

// PandaLM: each annotator says 0 (tie), 1 or 2; the majority decides.
Example read_annotated_pair(Columns& c) {
  Conversation prompt = instruction(c);
  Text first = as_turn(c.text("response1"), "assistant"),
       second = as_turn(c.text("response2"), "assistant");
  std::array<int, 3> votes{};
  for (const Json& vote : c.peek("annotators")) {
    if (vote != 0 && vote != 1 && vote != 2)
      fail_input(c.where(), "an annotator must say 0, 1 or 2");
    ++votes[vote.get<size_t>()];
  }
  const int verdict = votes[1] > votes[2] && votes[1] > votes[0]   ? 1
                      : votes[2] > votes[1] && votes[2] > votes[0] ? 2
                                                                   : 0;
  return read_verdict(std::move(prompt), std::move(first), std::move(second), verdict);
}

Example read_preferred_pair(Columns& c) {
  Text prompt = c.text("question"), first = c.text("response_a"), second = c.text("response_b");
  const std::string preferred = c.string("preferred");
  if (preferred != "a" && preferred != "b" && preferred != "tie") {
    fail_input(c.where(), "field \"preferred\" must be a, b or tie, got " + show(preferred));
  }
  return read_verdict(std::move(prompt), std::move(first), std::move(second),
                      preferred == "a"   ? 1
                      : preferred == "b" ? 2
                                         : 0);
}

Example read_instruction(Columns& c) {
  Conversation prompt = instruction(c);
  return example(std::move(prompt),
                 {as_turn(c.text(c.has("output") ? "output" : "response"), "assistant")});
}

Example read_question_answer(Columns& c) {
  Text prompt = c.text("question");
  return with_prompt(std::move(prompt), {c.text("answer")}, c);
}

Example read_question(Columns& c) { return example(c.text("question"), {}); }
Example read_prompt(Columns& c) {
  Text prompt = c.text("prompt");
  return with_prompt(std::move(prompt), {}, c);
}
Example read_plain_text(Columns& c) { return example(std::string(), {c.string("text")}); }

// NeMo-Aligner's regression form: one number, or one for each attribute.
Example read_scored(Columns& c) {
  Json label = c.take("label");
  const bool numbers =
      label.is_number() ||
      (label.is_array() && !label.empty() &&
       std::all_of(label.begin(), label.end(), [](const Json& v) { return v.is_number(); }));
  if (!numbers) fail_input(c.where(), "field \"label\" must be a number or a list of numbers");
  Example out = example(std::string(), {c.string("text")});
  out.responses[0].fields = fields_of({{"label", std::move(label)}}, c);
  return out;
}

/// Responses of one prompt.
Example read_candidates(Columns& c) {
  const Json responses = c.take("responses");
  if (!responses.is_array() || responses.size() < 2)
    fail_input(c.where(), "field \"responses\" must be a list of at least 2");
  std::vector<Text> texts;
  for (const Json& response : responses)
    texts.push_back(read_text(response, "responses", c.where()));
  Text prompt = c.text("prompt");
  return with_prompt(std::move(prompt), std::move(texts), c);
}

/// The same with a score each, or a rank of which 1 is the best.
Example read_ranked(Columns& c) {
  const bool scores = c.has("scores");
  const char* name = scores ? "scores" : "ranks";
  const std::vector<double> values = Fields(Json{{name, c.take(name)}}, c.where()).numbers(name);
  Example out = read_candidates(c);
  if (values.size() != out.responses.size())
    fail_input(c.where(), str("field \"", name, "\" has ", values.size(), " numbers for ",
                              out.responses.size(), " responses"));
  for (size_t i = 0; i < values.size(); ++i)
    out.responses[i].fields = fields_of({{"value", scores ? values[i] : -values[i]}}, c);
  return out;
}

bool conversations(const Columns& c) { return c.has("messages") || c.has("conversations"); }
bool pair(const Columns& c) { return c.has("chosen") || c.has("rejected"); }

// The first that matches is taken: forms with more columns come before those with fewer. A form
// also matches when its partner column is missing, so that the error can name it.
const std::array kForms{
    Form{"[prompt_ids,] chosen_ids, rejected_ids", DatasetType::preference,
         [](const Columns& c) { return c.has("chosen_ids") || c.has("rejected_ids"); },
         read_pair_ids},
    Form{"input_ids [, labels]", DatasetType::language_modeling,
         [](const Columns& c) { return c.has("input_ids") || (c.has("tokens") && !c.has("text")); },
         read_ids},
    Form{"prompt, completions, labels", DatasetType::stepwise,
         [](const Columns& c) { return c.has("prompt") && c.has("completions"); }, read_stepwise},
    Form{"prompt, responses, scores (or ranks)", DatasetType::ranked,
         [](const Columns& c) {
           return c.has("prompt") && c.has("responses") && (c.has("scores") || c.has("ranks"));
         },
         read_ranked},
    Form{"conversations (or messages), chosen, rejected", DatasetType::preference,
         [](const Columns& c) { return pair(c) && conversations(c) && !c.has("prompt"); },
         read_share_gpt_pair},
    Form{"instruction [, input], chosen, rejected", DatasetType::preference,
         [](const Columns& c) { return pair(c) && c.has("instruction"); }, read_instruction_pair},
    Form{"prompt, chosen, rejected", DatasetType::preference,
         [](const Columns& c) { return pair(c) && c.has("prompt"); }, read_prompt_pair},
    Form{"chosen, rejected", DatasetType::preference, pair, read_implicit_pair},
    Form{"prompt, chosen_response, rejected_response", DatasetType::preference,
         [](const Columns& c) {
           return c.has("prompt") && (c.has("chosen_response") || c.has("rejected_response"));
         },
         read_response_pair},
    Form{"messages (or query, response), rejected_response", DatasetType::preference,
         [](const Columns& c) {
           return c.has("rejected_response") && (c.has("messages") || c.has("query"));
         },
         read_rejected_response},
    Form{"instruction [, input], response1, response2, annotators", DatasetType::preference,
         [](const Columns& c) {
           return c.has("response1") && c.has("response2") && c.has("annotators");
         },
         read_annotated_pair},
    Form{"question, response_a, response_b, preferred", DatasetType::preference,
         [](const Columns& c) {
           return c.has("response_a") && c.has("response_b") && c.has("preferred");
         },
         read_preferred_pair},
    Form{"prompt, completion, label", DatasetType::unpaired_preference,
         [](const Columns& c) { return c.has("prompt") && c.has("completion") && c.has("label"); },
         read_unpaired},
    Form{"prompt, completion", DatasetType::prompt_completion,
         [](const Columns& c) {
           return c.has("prompt") && (c.has("completion") || c.has("response"));
         },
         read_prompt_completion},
    Form{"messages (or conversations), label", DatasetType::unpaired_preference,
         [](const Columns& c) { return conversations(c) && c.has("label"); },
         read_labelled_messages},
    Form{"messages, ground_truth", DatasetType::prompt_only,
         [](const Columns& c) { return conversations(c) && c.has("ground_truth"); },
         read_verifiable_messages},
    Form{"messages (or conversations)", DatasetType::language_modeling, conversations,
         read_messages},
    Form{"instruction (or query) [, input], output (or response)", DatasetType::prompt_completion,
         [](const Columns& c) {
           return (c.has("instruction") || c.has("query")) &&
                  (c.has("output") || c.has("response"));
         },
         read_instruction},
    Form{"question, answer", DatasetType::prompt_completion,
         [](const Columns& c) { return c.has("question") && c.has("answer"); },
         read_question_answer},
    Form{"text, label", DatasetType::scored,
         [](const Columns& c) { return c.has("text") && c.has("label"); }, read_scored},
    Form{"text", DatasetType::language_modeling, [](const Columns& c) { return c.has("text"); },
         read_plain_text},
    Form{"prompt, responses", DatasetType::candidates,
         [](const Columns& c) {
           return c.has("prompt") && c.has("responses") && c.peek("responses").is_array();
         },
         read_candidates},
    Form{"prompt", DatasetType::prompt_only, [](const Columns& c) { return c.has("prompt"); },
         read_prompt},
    Form{"question", DatasetType::prompt_only, [](const Columns& c) { return c.has("question"); },
         read_question},
};

}  // namespace

std::span<const Form> forms() { return kForms; }

int form_of(const Columns& c) {
  for (size_t i = 0; i < kForms.size(); ++i) {
    if (kForms[i].matches(c)) return static_cast<int>(i);
  }
  std::string expected;
  for (const Form& form : kForms) expected += str(expected.empty() ? "" : " | ", form.columns);
  fail_input(c.where(), "no known form of data: have " + c.names(),
             "expected one of: " + expected + "; data.columns=[\"OURS=THEIRS\"] renames columns");
}

}  // namespace guerdon::data
