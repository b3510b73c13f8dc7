#include "report/samples.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "guerdon/base/error.h"
#include "guerdon/report/svg.h"

namespace guerdon::report {
namespace {

constexpr size_t kRows = 10, kLetters = 600;

/// A text column, or a list of messages as a transcript.
std::string text_of(const Json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  std::string out;
  if (found->is_array()) {
    for (const Json& message : *found) {
      if (!message.is_object()) continue;
      const auto part = [&](const char* name) {
        const auto value = message.find(name);
        return value != message.end() && value->is_string() ? value->get<std::string>()
                                                            : std::string();
      };
      out += (out.empty() ? "" : "\n") + part("role") + ": " + part("content");
    }
  }
  return out;
}

std::optional<double> number_of(const Json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

struct Sample {
  double step = 0;
  std::string prompt, completion;
  const Json* row = nullptr;
};

Html scores(const Json& row) {
  std::string out;
  if (const auto reward = number_of(row, "reward"))
    out += "<div><b>" + short_number(*reward) + "</b></div>";
  const auto components = row.find("rewards");
  if (components != row.end() && components->is_object()) {
    for (const auto& [name, value] : components->items()) {
      if (!value.is_number()) continue;
      out += "<div class=\"soft\">" + escaped(name) + " " + short_number(value.get<double>()) +
             "</div>";
    }
  }
  return {out};
}

std::vector<Sample> read(const std::vector<Json>& rows) {
  std::vector<Sample> out;
  for (const Json& row : rows)
    out.push_back({number_of(row, "step").value_or(0), text_of(row, "prompt"),
                   text_of(row, "completion"), &row});
  return out;
}

}  // namespace

Html samples_table(const std::vector<Json>& rows) {
  const std::vector<Sample> samples = read(rows);
  if (samples.empty()) return {};
  const auto earlier = [](const Sample& a, const Sample& b) { return a.step < b.step; };
  const double first = std::min_element(samples.begin(), samples.end(), earlier)->step;
  const double last = std::max_element(samples.begin(), samples.end(), earlier)->step;

  // The first sample of each prompt at either end of the run, in the order of the file.
  std::vector<std::string> order;
  std::map<std::string, std::pair<const Sample*, const Sample*>> by_prompt;
  for (const Sample& s : samples) {
    if (s.step == first && !by_prompt[s.prompt].first) {
      by_prompt[s.prompt].first = &s;
      order.push_back(s.prompt);
    }
    if (s.step == last && !by_prompt[s.prompt].second) by_prompt[s.prompt].second = &s;
  }
  std::vector<std::vector<Html>> table_rows;
  if (last > first) {
    for (const std::string& prompt : order) {
      const auto& [before, after] = by_prompt.at(prompt);
      if (!after || table_rows.size() >= kRows) continue;
      table_rows.push_back({text(prompt, kLetters), text(before->completion, kLetters),
                            scores(*before->row), text(after->completion, kLetters),
                            scores(*after->row)});
    }
  }
  if (!table_rows.empty()) {
    return table({{.name = "Prompt", .wide = true},
                  {.name = "Before: step " + short_number(first), .wide = true},
                  {"Reward", true},
                  {.name = "After: step " + short_number(last), .wide = true},
                  {"Reward", true}},
                 table_rows);
  }
  for (const double step : {first, last}) {
    size_t shown = 0;
    for (const Sample& s : samples) {
      if (s.step != step || shown >= kRows) continue;
      ++shown;
      table_rows.push_back({text(short_number(step)), text(s.prompt, kLetters),
                            text(s.completion, kLetters), scores(*s.row)});
    }
    if (last == first) break;
  }
  return table({{"Step", true},
                {.name = "Prompt", .wide = true},
                {.name = "Completion", .wide = true},
                {"Reward", true}},
               table_rows);
}

}  // namespace guerdon::report
