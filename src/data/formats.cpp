#include "guerdon/data/formats.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "data/forms.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/log.h"

namespace guerdon::data {
namespace {

/// What templates and trainers read from the other columns, checked once.
void check_fields(Json& fields, DatasetType type, const std::string& where) {
  if (const auto tools = fields.find("tools"); tools != fields.end() && !tools->is_null()) {
    if (tools->is_string())
      *tools = parse_json(tools->get_ref<const std::string&>(), where + ": field \"tools\"");
    if (!tools->is_array()) fail_input(where, "field \"tools\" must be a list of tool schemas");
  }
  const auto variables = fields.find("chat_template_kwargs");
  if (variables != fields.end() && !variables->is_null() && !variables->is_object()) {
    fail_input(where, "field \"chat_template_kwargs\" must be an object");
  }
  const auto margin = fields.find("margin");
  if (type == DatasetType::preference && margin != fields.end() && !margin->is_null() &&
      !margin->is_number()) {
    fail_input(where, "field \"margin\" must be a number, got " + margin->dump().substr(0, 80));
  }
}

std::string id_of(const Json& row) {
  if (const auto id = row.find("id"); id != row.end()) {
    if (id->is_string()) return id->get<std::string>();
    if (id->is_number_integer()) return id->dump();
  }
  return sha256(row.dump()).substr(0, 16);
}

bool same_text(const Text& a, const Text& b) {
  if (a.index() != b.index()) return false;
  if (!is_conversational(a)) return std::get<std::string>(a) == std::get<std::string>(b);
  const auto &x = std::get<Conversation>(a), &y = std::get<Conversation>(b);
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), same_message);
}

bool says_nothing(const Text& text) {
  if (!is_conversational(text)) return std::get<std::string>(text).empty();
  const auto& messages = std::get<Conversation>(text);
  return std::all_of(messages.begin(), messages.end(),
                     [](const Message& m) { return m.content.empty() && m.extra.names().empty(); });
}

}  // namespace

std::string name_of(DatasetType type) {
  switch (type) {
    case DatasetType::language_modeling: return "language_modeling";
    case DatasetType::prompt_only: return "prompt_only";
    case DatasetType::prompt_completion: return "prompt_completion";
    case DatasetType::preference: return "preference";
    case DatasetType::unpaired_preference: return "unpaired_preference";
    case DatasetType::stepwise: return "stepwise";
    case DatasetType::scored: return "scored";
    case DatasetType::ranked: return "ranked";
    case DatasetType::candidates: return "candidates";
  }
  GUERDON_CHECK(false, "unknown dataset type");
}

bool is_conversational(const Text& text) { return std::holds_alternative<Conversation>(text); }

bool is_empty(const Text& text) {
  return is_conversational(text) ? std::get<Conversation>(text).empty()
                                 : std::get<std::string>(text).empty();
}

RowFormat::RowFormat(const FormatOptions& options) : options_(options) {}

std::optional<Example> RowFormat::read(const Row& row) {
  Columns columns(row, options_);
  const int form_index = form_of(columns);
  const bool first = form_ < 0;
  const Form& form = forms()[static_cast<size_t>(form_index)];
  if (!first && form_index != form_) {
    fail_input(columns.where(),
               str("this row has the columns of another form (", form.columns,
                   "), the rows before have ", forms()[static_cast<size_t>(form_)].columns));
  }
  const std::string id = id_of(row.fields.json());
  Example out = form.read(columns);
  out.id = id;
  Json rest = columns.rest();
  check_fields(rest, form.type, columns.where());
  out.fields = Fields(std::move(rest), columns.where());

  const bool conversational = is_conversational(out.prompt) ||
                              (!out.responses.empty() && is_conversational(out.responses[0].text));
  if (!first && conversational != *conversational_) {
    fail_input(columns.where(),
               conversational
                   ? "this row is a conversation, the rows before are plain text (one kind a file)"
                   : "this row is plain text, the rows before are conversations (one kind a file)");
  }
  form_ = form_index;
  conversational_ = conversational;
  ++counts_.rows;
  if (form.type == DatasetType::preference && out.responses.empty()) {
    ++counts_.ties;
    return std::nullopt;
  }
  const bool tokenised = !out.responses.empty() && out.responses[0].fields.has("ids");
  if (!tokenised) {
    for (const Response& response : out.responses)
      counts_.empty_completions += says_nothing(response.text);
    if (form.type == DatasetType::preference) {
      counts_.identical_pairs += same_text(out.responses[0].text, out.responses[1].text);
    }
  }
  return out;
}

DatasetType RowFormat::type() const {
  GUERDON_CHECK(form_ >= 0, "RowFormat::type: no row was read");
  return forms()[static_cast<size_t>(form_)].type;
}

bool RowFormat::conversational() const {
  GUERDON_CHECK(form_ >= 0, "RowFormat::conversational: no row was read");
  return *conversational_;
}

std::string RowFormat::form() const {
  return name_of(type()) + ": " + forms()[static_cast<size_t>(form_)].columns;
}

void RowFormat::warn(const std::string& file) const {
  const auto say = [&](int64_t count, const char* what) {
    if (count > 0) log::warning(str(file, ": ", count, " of ", counts_.rows, " rows ", what));
  };
  say(counts_.identical_pairs, "have a chosen that equals the rejected (no signal)");
  say(counts_.empty_completions, "have an empty completion");
  say(counts_.ties, "are ties and are left out");
}

void extract_prompt(Text& chosen, Text& rejected, Text& prompt) {
  GUERDON_CHECK(chosen.index() == rejected.index(),
                "extract_prompt: chosen and rejected are of two kinds");
  if (is_conversational(chosen)) {
    auto &a = std::get<Conversation>(chosen), &b = std::get<Conversation>(rejected);
    const size_t most = std::min(a.size(), b.size());
    size_t common = 0;
    while (common + 1 < most && same_message(a[common], b[common])) ++common;
    while (common > 0 && !ends_a_prompt(a[common - 1])) --common;
    const auto count = static_cast<std::ptrdiff_t>(common);
    prompt = Conversation(a.begin(), a.begin() + count);
    a.erase(a.begin(), a.begin() + count);
    b.erase(b.begin(), b.begin() + count);
    return;
  }
  auto &a = std::get<std::string>(chosen), &b = std::get<std::string>(rejected);
  // As TRL: when one is the beginning of the other, it keeps its last character.
  const size_t most = std::min(a.size(), b.size());
  size_t common = 0;
  while (common < most && a[common] == b[common]) ++common;
  const bool differ = common < most;
  if (!differ && common > 0) --common;
  const auto inside_character = [](const std::string& text, size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
  };
  while (common > 0 && (inside_character(a, common) || inside_character(b, common))) --common;
  if (differ && common > 0 && a[common - 1] == ' ') --common;
  prompt = a.substr(0, common);
  a.erase(0, common);
  b.erase(0, common);
}

std::vector<Example> unpair(const Example& pair) {
  GUERDON_CHECK(pair.responses.size() == 2, "unpair: needs two responses, got ",
                pair.responses.size());
  std::vector<Example> out;
  for (const size_t i : {size_t{0}, size_t{1}}) {
    Json fields = pair.responses[i].fields.json();
    fields["label"] = i == 0;
    out.push_back({pair.id + (i == 0 ? "/chosen" : "/rejected"),
                   pair.prompt,
                   {{pair.responses[i].text, Fields(std::move(fields), pair.fields.where())}},
                   pair.fields});
  }
  return out;
}

Json row_json(const Example& example, DatasetType type) {
  const auto json = [](const Text& text) {
    return is_conversational(text) ? conversation_json(std::get<Conversation>(text))
                                   : Json(std::get<std::string>(text));
  };
  const auto response = [&](size_t i) -> const Response& {
    GUERDON_CHECK(i < example.responses.size(), "row_json: ", name_of(type),
                  " needs more responses");
    return example.responses[i];
  };
  Json row = Json::object();
  const bool tokenised = !example.responses.empty() && response(0).fields.has("ids");
  if (tokenised) {
    const bool pair = type == DatasetType::preference;
    row[pair ? "chosen_ids" : "input_ids"] = response(0).fields.json().at("ids");
    if (pair) row["rejected_ids"] = response(1).fields.json().at("ids");
    if (response(0).fields.has("labels")) row["labels"] = response(0).fields.json().at("labels");
  } else {
    switch (type) {
      case DatasetType::language_modeling:
        row[is_conversational(response(0).text) ? "messages" : "text"] = json(response(0).text);
        break;
      case DatasetType::prompt_only: row["prompt"] = json(example.prompt); break;
      case DatasetType::prompt_completion:
        row = {{"prompt", json(example.prompt)}, {"completion", json(response(0).text)}};
        break;
      case DatasetType::preference:
        row = {{"prompt", json(example.prompt)},
               {"chosen", json(response(0).text)},
               {"rejected", json(response(1).text)}};
        break;
      case DatasetType::unpaired_preference:
        row = {{"prompt", json(example.prompt)},
               {"completion", json(response(0).text)},
               {"label", response(0).fields.boolean("label")}};
        break;
      case DatasetType::stepwise:
        row = {{"prompt", json(example.prompt)},
               {"completions", response(0).fields.json().at("steps")},
               {"labels", response(0).fields.json().at("labels")}};
        break;
      case DatasetType::scored:
        row = {{"text", json(response(0).text)}, {"label", response(0).fields.json().at("label")}};
        break;
      case DatasetType::ranked:
        row = {{"prompt", json(example.prompt)},
               {"responses", Json::array()},
               {"scores", Json::array()}};
        for (const Response& r : example.responses) {
          row["responses"].push_back(json(r.text));
          row["scores"].push_back(r.fields.json().at("value"));
        }
        break;
      case DatasetType::candidates:
        row = {{"prompt", json(example.prompt)}, {"responses", Json::array()}};
        for (const Response& r : example.responses) row["responses"].push_back(json(r.text));
        break;
    }
  }
  for (const auto& [name, value] : example.fields.json().items()) {
    if (!row.contains(name)) row[name] = value;
  }
  return row;
}

Example as_prompt(const Example& example) {
  Example out{example.id, example.prompt, {}, example.fields};
  const bool whole = is_empty(example.prompt) && example.responses.size() == 1 &&
                     is_conversational(example.responses[0].text);
  if (whole) {
    Conversation turns = std::get<Conversation>(example.responses[0].text);
    while (!turns.empty() && !ends_a_prompt(turns.back())) turns.pop_back();
    if (turns.empty()) fail_input(example.fields.where(), "the conversation has no user message");
    out.prompt = std::move(turns);
  }
  return out;
}

}  // namespace guerdon::data
