#include "guerdon/data/encode.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/data/formats.h"

namespace guerdon::data {
namespace {

constexpr std::array<const char*, 3> kReasoning{"reasoning_content", "thinking", "reasoning"};

/// Messages as Transformers hands them to a template: whatever name the reasoning has, it is there
/// as `reasoning_content` and as `thinking`.
Json template_messages(const Conversation& conversation) {
  Json messages = conversation_json(conversation);
  for (Json& message : messages) {
    for (const char* name : kReasoning) {
      if (!message.contains(name)) continue;
      const Json reasoning = message[name];
      if (!message.contains("thinking")) message["thinking"] = reasoning;
      message["reasoning_content"] = reasoning;
      break;
    }
  }
  return messages;
}

Conversation joined_turns(const Text& prompt, const Text& response) {
  Conversation out = std::get<Conversation>(prompt);
  const auto& more = std::get<Conversation>(response);
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

std::vector<int64_t> ids_of(const Response& response) {
  std::vector<int64_t> out;
  for (const Json& id : response.fields.json().at("ids")) out.push_back(id.get<int64_t>());
  return out;
}

bool is_tokenised(const Example& example, size_t response) {
  return response < example.responses.size() && example.responses[response].fields.has("ids");
}

void train_from(EncodedSequence& sequence, int64_t begin) {
  sequence.trained.assign(sequence.tokens.size(), 1);
  std::fill(sequence.trained.begin(), sequence.trained.begin() + begin, uint8_t{0});
}

TokenRole role_of(const std::string& role) {
  if (role == "system") return TokenRole::system;
  if (role == "user") return TokenRole::user;
  if (role == "assistant") return TokenRole::assistant;
  return role == "tool" ? TokenRole::tool : TokenRole::unknown;
}

}  // namespace

std::string name_of(TokenRole role) {
  constexpr std::array<const char*, 7> kNames{"unknown", "prompt",    "completion", "system",
                                              "user",    "assistant", "tool"};
  return kNames.at(static_cast<size_t>(role));
}

int64_t common_prefix(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  return static_cast<int64_t>(end - a.begin());
}

namespace {

std::string as_lines(const Text& text) {
  const auto* conversation = std::get_if<Conversation>(&text);
  if (conversation == nullptr) return std::get<std::string>(text);
  if (conversation->size() == 1) return conversation->front().content;
  std::string out;
  for (const Message& message : *conversation)
    out += (out.empty() ? "" : "\n") + message.role + ": " + message.content;
  return out;
}

std::string field_text(const Fields& fields, const std::string& name) {
  if (fields.has(name) && fields.json().at(name).is_number()) return fields.json().at(name).dump();
  return fields.text(name);
}

}  // namespace

Text as_response(const Text& prompt, const std::string& text) {
  if (!is_conversational(prompt)) return text;
  return Conversation{{.role = "assistant", .content = text, .extra = {}}};
}

std::string fill_question(const std::string& question, const Example& example, size_t response) {
  const auto in_name = [](char c) {
    return c == '_' || std::isalnum(static_cast<unsigned char>(c));
  };
  std::string out;
  for (size_t at = 0; at < question.size();) {
    const size_t end = question[at] == '{' ? question.find('}', at) : std::string::npos;
    const bool named = end != std::string::npos && end > at + 1 &&
                       std::all_of(question.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                                   question.begin() + static_cast<std::ptrdiff_t>(end), in_name);
    if (!named) {
      out += question[at++];
      continue;
    }
    const std::string name = question.substr(at + 1, end - at - 1);
    out += name == "prompt"     ? as_lines(example.prompt)
           : name == "response" ? as_lines(example.responses[response].text)
                                : field_text(example.fields, name);
    at = end + 1;
  }
  return out;
}

Encoder::Encoder(const text::Tokenizer& tokenizer, const text::ChatTemplate* chat_template,
                 EncodeOptions options)
    : tokenizer_(tokenizer), template_(chat_template), options_(std::move(options)) {
  if (options_.append_eos && options_.question.empty() && tokenizer_.eos_token().empty()) {
    log::warning(
        "the tokenizer names no EOS token: none is appended to plain text, and a model cannot "
        "learn to stop");
  }
}

text::Rendered Encoder::render(const Conversation& conversation, const Fields& fields,
                               bool add_generation_prompt) const {
  if (!template_) {
    fail_input(fields.where(), "is a conversation, and the model has no chat template",
               "add chat_template.jinja to the model's folder, or use plain text");
  }
  Json variables = Json::object();
  const auto special = [&](const char* name, const std::string& token) {
    if (!token.empty()) variables[name] = token;
  };
  special("bos_token", tokenizer_.bos_token());
  special("eos_token", tokenizer_.eos_token());
  if (const auto id = tokenizer_.unknown()) special("unk_token", tokenizer_.token_of(*id));
  if (const auto id = tokenizer_.pad()) special("pad_token", tokenizer_.token_of(*id));
  variables["messages"] = template_messages(conversation);
  variables["tools"] = fields.has("tools") ? fields.json().at("tools") : Json();
  variables["documents"] = Json();
  variables["add_generation_prompt"] = add_generation_prompt;
  for (const auto& [name, value] : options_.chat_template_kwargs.json().items())
    variables[name] = value;
  if (fields.has("chat_template_kwargs")) {
    for (const auto& [name, value] : fields.json().at("chat_template_kwargs").items())
      variables[name] = value;
  }
  try {
    return template_->render(variables);
  } catch (const Error& error) {
    if (error.kind != Kind::input || fields.where().empty()) throw;
    fail_input(fields.where(), std::string("the chat template refuses it: ") + error.what(),
               error.hint);
  }
}

std::vector<int64_t> Encoder::plain_ids(const std::string& text) const {
  return tokenizer_.encode(text, true);
}

std::string Encoder::with_eos(const std::string& text) const {
  const std::string eos = options_.append_eos ? tokenizer_.eos_token() : std::string();
  return text.ends_with(eos) ? text : text + eos;
}

EncodedSequence Encoder::whole(const Text& text, const Fields& fields) const {
  EncodedSequence out;
  if (const auto* conversation = std::get_if<Conversation>(&text)) {
    out.tokens = tokenizer_.encode(render(*conversation, fields, false).text, false);
    if (options_.roles) mark_roles(out, *conversation, fields);
  } else {
    out.tokens = plain_ids(with_eos(std::get<std::string>(text)));
    if (options_.roles) out.roles.assign(out.tokens.size(), TokenRole::completion);
  }
  train_from(out, 0);
  return out;
}

std::vector<int64_t> Encoder::prompt(const Text& prompt, const Fields& fields) const {
  if (const auto* conversation = std::get_if<Conversation>(&prompt)) {
    return tokenizer_.encode(render(*conversation, fields, true).text, false);
  }
  return plain_ids(std::get<std::string>(prompt));
}

EncodedSequence Encoder::judged(const Example& example, size_t response) const {
  GUERDON_CHECK(response < example.responses.size(), "Encoder: response ", response, " of ",
                example.responses.size());
  if (is_tokenised(example, response)) {
    if (!options_.question.empty())
      fail_input(example.fields.where(), "holds token ids, and a question needs texts");
    EncodedSequence out;
    out.tokens = ids_of(example.responses[response]);
    train_from(out, 0);
    if (options_.roles) out.roles.assign(out.tokens.size(), TokenRole::unknown);
    return out;
  }
  if (!options_.question.empty()) {
    const std::string asked = fill_question(options_.question, example, response);
    EncodedSequence out;
    out.tokens = template_ ? prompt(Conversation{{.role = "user", .content = asked, .extra = {}}},
                                    example.fields)
                           : plain_ids(asked);
    train_from(out, 0);
    if (options_.roles) out.roles.assign(out.tokens.size(), TokenRole::prompt);
    return out;
  }
  const Text& answer = example.responses[response].text;
  if (is_conversational(answer)) return whole(joined_turns(example.prompt, answer), example.fields);
  // The EOS is asked of the answer alone: a prompt that ends with it, before an empty answer, does
  // not do.
  const std::string text =
      std::get<std::string>(example.prompt) + with_eos(std::get<std::string>(answer));
  EncodedSequence out;
  out.tokens = plain_ids(text);
  train_from(out, 0);
  if (options_.roles) out.roles.assign(out.tokens.size(), TokenRole::completion);
  return out;
}

EncodedSequence Encoder::completion(const Example& example, size_t response) const {
  EncodedSequence out = judged(example, response);
  if (is_tokenised(example, response)) {
    out.prompt_length =
        static_cast<int64_t>(example.responses[response].fields.number_or("prompt_length", 0));
  } else if (!is_empty(example.prompt) || !is_conversational(example.prompt)) {
    out.prompt_length = common_prefix(prompt(example.prompt, example.fields), out.tokens);
  }
  train_from(out, out.prompt_length);
  if (options_.roles && !is_conversational(example.prompt)) {
    std::fill(out.roles.begin(), out.roles.begin() + out.prompt_length, TokenRole::prompt);
  }
  return out;
}

EncodedPair Encoder::preference(const Example& example) const {
  EncodedPair out{completion(example, 0), completion(example, 1)};
  const int64_t shared = std::min(out.chosen.prompt_length, out.rejected.prompt_length);
  for (EncodedSequence* side : {&out.chosen, &out.rejected}) {
    side->prompt_length = shared;
    train_from(*side, shared);
  }
  return out;
}

EncodedPair Encoder::reward_pair(const Example& example) const {
  EncodedPair out{judged(example, 0), judged(example, 1)};
  out.chosen.prompt_length = out.rejected.prompt_length =
      common_prefix(out.chosen.tokens, out.rejected.tokens);
  return out;
}

EncodedSequence Encoder::supervised(const Example& example) const {
  if (example.responses.empty())
    fail_input(example.fields.where(), "has a prompt and no completion to learn");
  const Response& response = example.responses[0];
  const bool has_prompt = !is_empty(example.prompt) || response.fields.has("prompt_length");
  EncodedSequence out = has_prompt ? completion(example, 0) : judged(example, 0);
  if (response.fields.has("labels")) {
    const Json& labels = response.fields.json().at("labels");
    for (size_t i = 0; i < labels.size(); ++i) out.trained[i] = labels[i].get<int64_t>() != -100;
    return out;
  }
  if (has_prompt && !options_.completion_only_loss.value_or(true)) train_from(out, 0);
  if (options_.assistant_only_loss) {
    if (!is_conversational(response.text)) {
      fail_input(example.fields.where(),
                 "is plain text, and assistant_only_loss needs conversations");
    }
    mark_assistant(out,
                   is_empty(example.prompt) ? std::get<Conversation>(response.text)
                                            : joined_turns(example.prompt, response.text),
                   example.fields);
  }
  return out;
}

namespace {

using Span = text::Rendered::Span;

/// Sets what `value` says on the tokens that touch the span.
template <class Value>
void mark(std::vector<Value>& values, const text::Encoding& encoding, Span span, Value value) {
  for (size_t i = 0; i < encoding.ranges.size(); ++i) {
    const auto& range = encoding.ranges[i];
    if (range.begin < span.end && range.end > span.begin) values[i] = value;
  }
}

}  // namespace

void Encoder::mark_assistant(EncodedSequence& sequence, const Conversation& conversation,
                             const Fields& fields) const {
  const text::Rendered rendered = render(conversation, fields, false);
  std::vector<Span> spans = rendered.assistant;
  if (!template_->has_generation_tags()) {
    for (size_t i = 0; i < conversation.size(); ++i) {
      if (conversation[i].role != "assistant") continue;
      const Conversation before(conversation.begin(),
                                conversation.begin() + static_cast<std::ptrdiff_t>(i));
      Conversation after = before;
      after.push_back(conversation[i]);
      const std::string asked = before.empty() ? std::string() : render(before, fields, true).text;
      const std::string answered = render(after, fields, false).text;
      if (!answered.starts_with(asked) || !rendered.text.starts_with(answered)) {
        fail_input(fields.where(),
                   "assistant_only_loss: the chat template has no {% generation %} marks, and does "
                   "not render "
                   "a conversation as the continuation of its beginning",
                   "mark the assistant's text in the template with {% generation %}");
      }
      Span span{static_cast<int64_t>(asked.size()), static_cast<int64_t>(answered.size())};
      // What stands behind the turn's end token (a line break, often) is the template's, not the
      // model's.
      const std::string eos = tokenizer_.eos_token();
      const size_t end = eos.empty() ? std::string::npos : answered.rfind(eos);
      if (end != std::string::npos && end >= asked.size())
        span.end = static_cast<int64_t>(end + eos.size());
      spans.push_back(span);
    }
  }
  const text::Encoding encoding = tokenizer_.encode_with_ranges(rendered.text, false);
  GUERDON_CHECK(encoding.ids == sequence.tokens, "encode and encode_with_ranges disagree");
  std::vector<uint8_t> assistant(sequence.tokens.size(), 0);
  for (const Span& span : spans) mark(assistant, encoding, span, uint8_t{1});
  if (std::find(assistant.begin(), assistant.end(), 1) == assistant.end()) {
    fail_input(fields.where(), "assistant_only_loss: the conversation has no assistant tokens");
  }
  for (size_t i = 0; i < assistant.size(); ++i)
    sequence.trained[i] = sequence.trained[i] && assistant[i];
}

// A message's part of the text is what it adds to the rendering of those before it, where the
// template only appends.
void Encoder::mark_roles(EncodedSequence& sequence, const Conversation& conversation,
                         const Fields& fields) const {
  const std::string all = render(conversation, fields, false).text;
  const text::Encoding encoding = tokenizer_.encode_with_ranges(all, false);
  sequence.roles.assign(sequence.tokens.size(), TokenRole::unknown);
  if (encoding.ids != sequence.tokens) return;
  int64_t begin = 0;
  Conversation part;
  for (const Message& message : conversation) {
    part.push_back(message);
    try {
      const std::string text = render(part, fields, false).text;
      if (!all.starts_with(text)) continue;
      const auto end = static_cast<int64_t>(text.size());
      mark(sequence.roles, encoding, {begin, end}, role_of(message.role));
      begin = end;
    } catch (const Error&) {
      // A template may refuse a beginning (a system message alone, say): its tokens count to the
      // next message.
    }
  }
}

}  // namespace guerdon::data
