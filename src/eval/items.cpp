#include "guerdon/eval/items.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "data/conversation.h"
#include "eval/item_parts.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/data/reader.h"
#include "guerdon/math/steps.h"

namespace guerdon::eval {

namespace fs = std::filesystem;

namespace {

/// A file of columns as rows. Values that are no lists stand in every row.
std::vector<Fields> rows_of_columns(const Json& columns, const std::string& file) {
  size_t count = 0;
  std::string longest;
  for (const auto& [key, value] : columns.items()) {
    if (!value.is_array()) continue;
    if (!longest.empty() && value.size() != count) {
      fail_input(file, str("column ", show(key), " has ", value.size(), " values, column ",
                           show(longest), " has ", count));
    }
    longest = key;
    count = value.size();
  }
  if (count == 0) {
    fail_input(file,
               "is one object without columns (a row a line, a list of rows, or an object of "
               "lists is expected)");
  }
  std::vector<Fields> rows;
  for (size_t i = 0; i < count; ++i) {
    Json row = Json::object();
    for (const auto& [key, value] : columns.items()) row[key] = value.is_array() ? value[i] : value;
    rows.emplace_back(std::move(row), str(file, ": row ", i + 1));
  }
  return rows;
}

/// Scores of a row in the file's order: judge to a number a candidate.
struct GivenScores {
  std::map<std::string, std::vector<double>> judges;
  std::optional<size_t> right;  // how many of them stand for right candidates, where the row tells
};

double one_score(const Json& value, const Fields& row, const std::string& name,
                 const std::string& reduction) {
  const auto refuse = [&](const Json& bad) {
    fail_input(row.where(),
               "field " + show(name) + " must hold numbers, got " +
                   bad.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60));
  };
  if (value.is_number()) return value.get<double>();
  if (!value.is_array()) refuse(value);
  std::vector<double> steps;
  for (const Json& step : value) {
    if (!step.is_number()) refuse(step);
    steps.push_back(step.get<double>());
  }
  return math::reduce_steps(steps, reduction);
}

std::vector<double> score_list(const Json& value, const Fields& row, const std::string& name,
                               const std::string& reduction) {
  if (!value.is_array()) return {one_score(value, row, name, reduction)};
  std::vector<double> out;
  for (const Json& element : value) out.push_back(one_score(element, row, name, reduction));
  return out;
}

GivenScores scores_of(const Fields& row, const ItemOptions& options) {
  GivenScores out;
  const Json& json = row.json();
  const std::string judge =
      json.contains("model") && json["model"].is_string() ? json["model"].get<std::string>() : "";
  for (const char* key : {"scores", "score", "scalar", "judge", "steps"}) {
    if (!row.has(key)) continue;
    const Json& value = json[key];
    if (value.is_object()) {
      for (const auto& [name, list] : value.items())
        out.judges[name] = score_list(list, row, str(key, ".", name), options.reduction);
    } else if (value.is_array()) {
      out.judges[judge] = score_list(value, row, key, options.reduction);
    }
  }
  for (const std::string prefix : {"score_", "scores_"}) {
    const std::string chosen = prefix + "chosen", rejected = prefix + "rejected";
    if (!row.has(chosen) && !row.has(rejected)) continue;
    for (const std::string& side : {chosen, rejected}) {
      if (!row.has(side)) fail_input(row.where(), "field " + show(side) + " is missing or null");
    }
    std::vector<double> all = score_list(json[chosen], row, chosen, options.reduction);
    out.right = all.size();
    for (const double score : score_list(json[rejected], row, rejected, options.reduction))
      all.push_back(score);
    out.judges[judge] = std::move(all);
  }
  return out;
}

/// Puts scores that stand in the file's order into the order of the candidates.
void give_scores(Item& item, const GivenScores& given, const std::string& where) {
  for (const auto& [judge, scores] : given.judges) {
    const std::string name = judge.empty() ? "the row" : "judge " + show(judge);
    if (scores.size() != item.candidates) {
      fail_input(where, str(name, " has ", scores.size(), " scores, ", item.candidates,
                            " are expected", where == item.where ? "" : " by " + item.where));
    }
    for (const double score : scores) {
      if (!std::isfinite(score)) fail_input(where, name + " has a score that is not finite");
    }
    std::vector<double> ordered(scores);
    for (size_t k = 0; k < item.order.size(); ++k) ordered[k] = scores[item.order[k]];
    item.scores[judge] = std::move(ordered);
  }
}

}  // namespace

Item begin_item(const Fields& row, const RowForm& form) {
  Item item;
  item.where = row.where();
  item.subset = "all";
  const Json& json = row.json();
  if (row.has("id"))
    item.id = json["id"].is_string() ? json["id"].get<std::string>() : json["id"].dump();
  const auto column = std::find_if(form.subset.begin(), form.subset.end(),
                                   [&](const std::string& name) { return row.has(name); });
  if (column != form.subset.end()) {
    item.subset = row.text(*column);
  } else if (form.file_names_subset) {
    fs::path file = item.where.substr(0, item.where.rfind(':'));
    while (file.extension() == ".gz" || file.extension() == ".jsonl" || file.extension() == ".json")
      file.replace_extension();
    // LLMBar's files are all called dataset.json; their folders tell them apart.
    item.subset = (file.filename() == "dataset" ? file.parent_path() : file).filename().string();
    if (const size_t end = item.subset.rfind("_filtered"); end != std::string::npos)
      item.subset.resize(end);
  }
  return item;
}

std::map<std::string, std::vector<double>> scores_in_order(const Fields& row,
                                                           const std::string& reduction) {
  return scores_of(row, {.reduction = reduction}).judges;
}

bool has_scores(const Fields& row, const ItemOptions& options) {
  return !scores_of(row, options).judges.empty();
}

void finish_item(Item& item, const Fields& row, const ItemOptions& options) {
  const GivenScores given = scores_of(row, options);
  if (item.candidates == 0) {
    if (given.judges.empty()) fail_input(item.where, "holds neither responses nor scores");
    item.candidates = given.judges.begin()->second.size();
    if (given.right) item.right = *given.right;
  }
  if (item.candidates < 2)
    fail_input(item.where, str("has ", item.candidates, " candidates, at least 2 are expected"));
  if (item.right < 1 || item.right > item.candidates) {
    fail_input(item.where,
               str("has ", item.right, " right ones among ", item.candidates, " candidates"));
  }
  give_scores(item, given, item.where);
}

std::vector<Text> texts_of(const Fields& row, const std::string& name) {
  const Json& json = row.json();
  if (!row.has(name)) row.text(name);  // refuses
  const Json& value = json[name];
  const bool several =
      value.is_array() && (value.empty() || value[0].is_string() || value[0].is_array());
  std::vector<Text> out;
  if (!several) {
    out.push_back(data::read_text(value, name, row.where()));
    return out;
  }
  for (const Json& element : value) out.push_back(data::read_text(element, name, row.where()));
  if (out.empty()) fail_input(row.where(), "field " + show(name) + " is empty");
  return out;
}

Example example_of(const Fields& row, Text prompt, std::vector<Text> candidates) {
  Example out;
  out.prompt = std::move(prompt);
  for (Text& text : candidates) out.responses.push_back({std::move(text), {}});
  out.fields = row;
  return out;
}

std::vector<Fields> read_rows(const fs::path& file) {
  if (data::is_json_name(file) && file.extension() == ".json") {
    const std::string text = read_file(file);
    const size_t first = text.find_first_not_of(" \t\r\n");
    if (first != std::string::npos && text[first] == '{' && text.find("\n{") == std::string::npos) {
      return rows_of_columns(parse_json(text, file.string(), 0, {.bytes = text.size()}),
                             file.string());
    }
  }
  std::vector<Fields> rows;
  data::RowReader reader(file);
  while (std::optional<data::Row> row = reader.next()) rows.push_back(std::move(row->fields));
  return rows;
}

void add_scores(std::span<Item> items, const fs::path& file, const std::string& name,
                const ItemOptions& options) {
  const std::vector<Fields> rows = read_rows(file);
  std::map<std::string, Item*> by_id;
  for (Item& item : items) {
    if (item.id.empty() || !by_id.emplace(item.id, &item).second) {
      by_id.clear();
      break;
    }
  }
  const bool named = !by_id.empty() && std::all_of(rows.begin(), rows.end(),
                                                   [](const Fields& row) { return row.has("id"); });
  if (!named && rows.size() != items.size()) {
    fail_input(file.string(), str("has ", rows.size(), " rows, ", items.size(),
                                  " are expected (or rows with the ids of the data)"));
  }
  std::set<const Item*> seen;
  for (size_t i = 0; i < rows.size(); ++i) {
    Item* item = named ? nullptr : &items[i];
    if (named) {
      const Json& id = rows[i].json()["id"];
      const auto found = by_id.find(id.is_string() ? id.get<std::string>() : id.dump());
      if (found == by_id.end())
        fail_input(rows[i].where(), "the data has no row with id " + id.dump());
      item = found->second;
    }
    if (!seen.insert(item).second) fail_input(rows[i].where(), "its id was there before");
    GivenScores given = scores_of(rows[i], options);
    if (given.judges.empty()) {
      fail_input(rows[i].where(),
                 "holds no scores (\"scores\", or \"score_chosen\" and \"score_rejected\")");
    }
    if (auto unnamed = given.judges.extract(""); !unnamed.empty()) {
      unnamed.key() = name;
      given.judges.insert(std::move(unnamed));
    }
    give_scores(*item, given, rows[i].where());
  }
  for (const Item& item : items) {
    if (!seen.contains(&item))
      fail_input(file.string(), "has no row for id " + show(item.id) + " of " + item.where);
  }
}

}  // namespace guerdon::eval
