#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "data/conversation.h"
#include "eval/item_parts.h"
#include "guerdon/base/error.h"
#include "guerdon/eval/items.h"

namespace guerdon::eval {
namespace {

std::string listed(const Json& parts, const Fields& row, const std::string& name,
                   const std::vector<std::string>& keys) {
  if (!parts.is_array()) fail_input(row.where(), "field " + show(name) + " must be a list");
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    std::string line = str("[", i + 1, "]");
    for (const std::string& key : keys) {
      if (parts[i].is_object() && parts[i].contains(key) && parts[i][key].is_string())
        line += " " + parts[i][key].get<std::string>();
    }
    if (parts[i].is_string()) line += " " + parts[i].get<std::string>();
    if (line == str("[", i + 1, "]"))
      fail_input(row.where(), str("field ", show(name), ": entry ", i + 1, " has no text"));
    out += line + "\n";
  }
  return out;
}

/// The question in its context: retrieved documents, what is known of the user.
Text in_context(const Fields& row, const std::string& question, const ItemOptions& options) {
  std::string out;
  if (options.context == "profile" || options.context == "rubric") {
    const std::string name = options.context == "profile" ? "profile" : "rubric_aspects";
    if (!row.has(name)) row.text(name);  // refuses
    out += options.context == "profile" ? "The user has asked before:\n"
                                        : "What this user cares about:\n";
    out += listed(row.json()[name], row, name, {"category", "aspect", "text", "reason"}) + "\n";
  }
  if (row.has("documents"))
    out += "Documents:\n" + listed(row.json()["documents"], row, "documents", {"title", "text"}) +
           "\n";
  return out.empty() ? question : out + "Question: " + question;
}

std::optional<Text> prompt_of(const Fields& row, const ItemOptions& options) {
  if (row.has("prompt")) return data::read_text(row.json()["prompt"], "prompt", row.where());
  if (row.has("instruction")) {
    const std::string input = row.text_or("input", "");
    return row.text("instruction") + (input.empty() ? "" : "\n" + input);
  }
  for (const char* name : {"question", "problem", "query", "input"}) {
    if (row.has(name)) return in_context(row, row.text(name), options);
  }
  return std::nullopt;
}

/// The prompt, which may be missing only where the responses are whole conversations.
Text required_prompt(const Fields& row, const std::vector<Text>& candidates,
                     const ItemOptions& options) {
  if (std::optional<Text> prompt = prompt_of(row, options)) return *std::move(prompt);
  if (!std::all_of(candidates.begin(), candidates.end(),
                   [](const Text& text) { return std::holds_alternative<Conversation>(text); }))
    return row.text("prompt");  // refuses
  return std::string();
}

/// The index of the right one in a list of who wrote what.
std::optional<size_t> right_author(const Fields& row) {
  for (const char* name : {"generators", "source", "solution_reference"}) {
    if (!row.has(name) || !row.json()[name].is_array()) continue;
    const std::vector<std::string> authors = row.texts(name);
    const auto found = std::find(authors.begin(), authors.end(), "human_to_GPT-4");
    if (found == authors.end() || std::count(found, authors.end(), *found) > 1)
      fail_input(row.where(), str("field ", show(name), " must name \"human_to_GPT-4\" once"));
    return static_cast<size_t>(found - authors.begin());
  }
  return std::nullopt;
}

/// `first` and then the others.
std::vector<size_t> order_with(size_t first, size_t count) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(first),
              order.begin() + static_cast<std::ptrdiff_t>(first) + 1);
  return order;
}

template <class Value>
std::vector<Value> ordered(const std::vector<Value>& values, const std::vector<size_t>& order) {
  std::vector<Value> out;
  for (const size_t place : order) out.push_back(values[place]);
  return out;
}

/// A string; of an answer that a converter took for a number or a truth value, its text.
std::string plain_text(const Fields& row, const std::string& name) {
  if (!row.has(name)) return row.text(name);  // refuses
  const Json& value = row.json()[name];
  return value.is_number() || value.is_boolean() ? value.dump() : row.text(name);
}

/// What most people say: 1, 2, or 0 for a tie, which it is, too, where no label has the most votes.
int64_t majority(const Fields& row) {
  std::vector<double> labels;
  if (row.has("annotators")) labels = row.numbers("annotators");
  for (int i = 0; row.has(str("label_", i)); ++i) {
    const Json& label = row.json()[str("label_", i)];
    labels.push_back(label == "0" || label == "1" || label == "2"
                         ? label.get<std::string>()[0] - '0'
                         : row.number(str("label_", i)));
  }
  if (labels.empty()) labels.push_back(row.number(row.has("label") ? "label" : "annotators"));
  std::array<int, 3> votes{};
  for (const double label : labels) {
    if (label != 0 && label != 1 && label != 2)
      fail_input(row.where(), str("a label must be 0 (a tie), 1 or 2, got ", label));
    ++votes[static_cast<size_t>(label)];
  }
  const auto most = std::max_element(votes.begin(), votes.end());
  return std::count(votes.begin(), votes.end(), *most) > 1 ? 0 : most - votes.begin();
}

/// Comparisons of the right solution with each wrong one, as scores.
Item comparisons_in_a_row(const Fields& row, const RowForm& form) {
  Item item = begin_item(row, form);
  const std::vector<std::string> chosen = row.texts("score"), right = row.texts("chosen_position");
  if (chosen.size() != right.size() || chosen.empty()) {
    fail_input(item.where, str("field \"score\" has ", chosen.size(),
                               " letters, \"chosen_position\" ", right.size()));
  }
  std::vector<double> scores{0};
  for (size_t i = 0; i < chosen.size(); ++i) scores.push_back(chosen[i] == right[i] ? -1 : 1);
  item.candidates = scores.size();
  item.scores[row.text_or("model", "")] = std::move(scores);
  return item;
}

Item solutions_in_a_row(const Fields& row, const RowForm& form, const ItemOptions& options) {
  Item item = begin_item(row, form);
  std::vector<Text> solutions;
  if (row.has("solutions") || !has_scores(row, options)) solutions = texts_of(row, "solutions");
  item.candidates = solutions.size();
  std::optional<size_t> right = right_author(row);
  if (row.has("correct_index")) {
    const double index = row.number("correct_index");
    if (index < 0 || index != std::floor(index) || index > 1e6)
      fail_input(row.where(), str("field \"correct_index\" must be an index, got ", index));
    right = static_cast<size_t>(index);
  }
  if (!right) row.number("correct_index");  // refuses
  if (!solutions.empty() && *right >= solutions.size()) {
    fail_input(row.where(), str("the right solution is number ", *right, " of ", solutions.size(),
                                ", counted from 0"));
  }
  if (!solutions.empty()) {
    item.order = order_with(*right, solutions.size());
    solutions = ordered(solutions, item.order);
    Text prompt = required_prompt(row, solutions, options);
    item.prompts.push_back(example_of(row, std::move(prompt), std::move(solutions)));
    finish_item(item, row, options);
    return item;
  }
  finish_item(item, row, options);
  if (*right >= item.candidates) {
    fail_input(row.where(), str("the right solution is number ", *right, " of ", item.candidates,
                                ", counted from 0"));
  }
  item.order = order_with(*right, item.candidates);
  for (auto& [judge, scores] : item.scores) scores = ordered(scores, item.order);
  return item;
}

/// Rows [begin, end) are the solutions of one problem.
Item solutions_over_rows(std::span<const Fields> rows, const RowForm& form,
                         const ItemOptions& options) {
  Item item = begin_item(rows[0], form);
  const Json& id = rows[0].json()["problem_id"];
  item.id = id.is_string() ? id.get<std::string>() : id.dump();
  std::vector<std::string> solutions;
  std::vector<size_t> right;
  for (const Fields& row : rows) {
    const std::string name = row.has("eval_solution") ? "eval_solution" : "solution";
    if (!row.has(name)) row.text("solution");  // refuses
    if (row.json()[name].is_string()) {
      solutions.push_back(row.text(name));
    } else {
      std::string joined;
      for (const std::string& step : row.texts(name)) joined += (joined.empty() ? "" : "\n") + step;
      solutions.push_back(joined);
    }
    if (row.has("solution_type") ? row.text("solution_type") == "chosen"
                                 : row.boolean("is_correct"))
      right.push_back(solutions.size() - 1);
  }
  if (right.size() != 1) {
    fail_input(item.where, str("problem ", show(item.id), " has ", right.size(),
                               " right solutions among ", rows.size(), ", one is expected"));
  }
  item.order = order_with(right[0], solutions.size());
  solutions = ordered(solutions, item.order);
  item.candidates = solutions.size();
  std::vector<Text> candidates(solutions.begin(), solutions.end());
  Text prompt = required_prompt(rows[0], candidates, options);
  item.prompts.push_back(example_of(rows[0], std::move(prompt), std::move(candidates)));
  finish_item(item, rows[0], options);
  return item;
}

/// Rows of one prompt, a response each.
Item responses_over_rows(std::span<const Fields> rows, const RowForm& form) {
  Item item = begin_item(rows[0], form);
  const std::string prefix = "score_";
  for (const std::string& name : rows[0].names()) {
    if (!name.starts_with(prefix)) continue;
    std::vector<double>& scores = item.scores[name.substr(prefix.size())];
    for (const Fields& row : rows) scores.push_back(row.number(name));
  }
  if (item.scores.empty())
    fail_input(item.where, "has no column \"score_...\" (a number for each judge)");
  item.candidates = rows.size();
  return item;
}

}  // namespace

std::vector<Item> read_ranked(std::span<const Fields> rows, const RowForm& form,
                              const ItemOptions& options) {
  std::vector<Item> out;
  for (const Fields& row : rows) {
    Item item = begin_item(row, form);
    std::optional<size_t> declared;
    if (row.has("num_correct")) declared = static_cast<size_t>(row.number("num_correct"));
    if (row.has("chosen") || !has_scores(row, options)) {
      std::vector<Text> candidates = texts_of(row, "chosen");
      item.right = candidates.size();
      for (Text& text : texts_of(row, "rejected")) candidates.push_back(std::move(text));
      item.candidates = candidates.size();
      if (declared && *declared != item.right) {
        fail_input(item.where, str("field \"num_correct\" says ", *declared, ", \"chosen\" has ",
                                   item.right, " responses"));
      }
      Text prompt = required_prompt(row, candidates, options);
      item.prompts.push_back(example_of(row, std::move(prompt), std::move(candidates)));
    }
    finish_item(item, row, options);
    if (declared) item.right = *declared;
    if (item.right < 1 || item.right >= item.candidates) {
      fail_input(item.where, str("has ", item.right, " right ones among ", item.candidates,
                                 " candidates; a wrong one is expected too"));
    }
    for (const std::string prefix : {"ref:", "tied:"}) {
      if (item.id.starts_with(prefix)) item.group = item.id.substr(prefix.size());
    }
    out.push_back(std::move(item));
  }
  return out;
}

std::vector<Item> read_verdicts(std::span<const Fields> rows, const RowForm& form,
                                const ItemOptions& options) {
  std::vector<Item> out;
  for (const Fields& row : rows) {
    if (row.has("chosen") || row.has("score_chosen") || row.has("scores_chosen")) {
      out.push_back(read_ranked({&row, 1}, form, options).front());
      continue;
    }
    Item item = begin_item(row, form);
    if (item.id.empty() && row.has("idx")) item.id = row.json()["idx"].dump();
    const int64_t verdict = majority(row);
    item.order = verdict == 2 ? std::vector<size_t>{1, 0} : std::vector<size_t>{0, 1};
    item.right = verdict == 0 ? 2 : 1;
    item.candidates = 2;
    const std::string stem = row.has("output_1") || row.has("output_2") ? "output_" : "response";
    if (row.has(stem + "1") || !has_scores(row, options)) {
      const std::vector<Text> responses{plain_text(row, stem + "1"), plain_text(row, stem + "2")};
      Text prompt = required_prompt(row, responses, options);
      item.prompts.push_back(example_of(row, std::move(prompt), ordered(responses, item.order)));
    }
    finish_item(item, row, options);
    out.push_back(std::move(item));
  }
  return out;
}

std::vector<Item> read_solutions(std::span<const Fields> rows, const RowForm& form,
                                 const ItemOptions& options) {
  std::vector<Item> out;
  for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    end = begin + 1;
    if (rows[begin].has("chosen_position")) {
      out.push_back(comparisons_in_a_row(rows[begin], form));
      continue;
    }
    if (!rows[begin].has("problem_id")) {
      out.push_back(solutions_in_a_row(rows[begin], form, options));
      continue;
    }
    const Json& id = rows[begin].json()["problem_id"];
    while (end < rows.size() && rows[end].has("problem_id") && rows[end].json()["problem_id"] == id)
      ++end;
    out.push_back(solutions_over_rows(rows.subspan(begin, end - begin), form, options));
  }
  return out;
}

std::vector<Item> read_contrast(std::span<const Fields> rows, const RowForm& form,
                                const ItemOptions& options) {
  std::vector<Item> out;
  for (const Fields& row : rows) {
    Item item = begin_item(row, form);
    item.candidates = 4;
    item.right = 2;
    item.order = {0, 1, 3, 2};
    if (row.has("query") || !has_scores(row, options)) {
      const std::string x1 = row.text("query"), x2 = row.text("retrieval"),
                        y1 = row.text("query_response_k"), y2 = row.text("retrieval_response_k");
      if (y1 == y2) continue;
      item.prompts = {example_of(row, x1, {y1, y2}), example_of(row, x2, {y2, y1})};
    }
    finish_item(item, row, options);
    out.push_back(std::move(item));
  }
  return out;
}

std::vector<Item> read_candidates(std::span<const Fields> rows, const RowForm& form,
                                  const ItemOptions& options) {
  std::vector<Item> out;
  for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    end = begin + 1;
    const Fields& row = rows[begin];
    if (row.has("prompt_id")) {
      const Json& id = row.json()["prompt_id"];
      while (end < rows.size() && rows[end].has("prompt_id") && rows[end].json()["prompt_id"] == id)
        ++end;
      if (end - begin > 1)  // a prompt with one response says nothing
        out.push_back(responses_over_rows(rows.subspan(begin, end - begin), form));
      continue;
    }
    if (row.has("chosen")) {
      out.push_back(read_ranked({&row, 1}, form, options).front());
      continue;
    }
    Item item = begin_item(row, form);
    for (const char* name : {"responses", "samples", "completions"}) {
      if (!row.has(name)) continue;
      std::vector<Text> candidates = texts_of(row, name);
      item.candidates = candidates.size();
      Text prompt = required_prompt(row, candidates, options);
      item.prompts.push_back(example_of(row, std::move(prompt), std::move(candidates)));
      break;
    }
    finish_item(item, row, options);
    out.push_back(std::move(item));
  }
  return out;
}

}  // namespace guerdon::eval
