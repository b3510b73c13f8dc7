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
  out.reserve(rows.size());
  for (const Json& row : rows)
    out.push_back({number_of(row, "step").value_or(0), text_of(row, "prompt"),
                   text_of(row, "completion"), &row});
  return out;
}

/// A prompt's answers early and late.
struct BeforeAfter {
  const Sample* before = nullptr;
  const Sample* after = nullptr;
};

/// In the order of the file, none chosen by hand. Answers that a trainer gave for this purpose bear
/// "when"; in other files the first and the last step are compared.
std::vector<BeforeAfter> pairs_of(const std::vector<Sample>& samples, double first, double last) {
  const auto when = [](const Sample& s) { return text_of(*s.row, "when"); };
  const bool marked = std::any_of(samples.begin(), samples.end(),
                                  [&](const Sample& s) { return !when(s).empty(); });
  const auto is_before = [&](const Sample& s) {
    return marked ? when(s) == "before" : s.step == first;
  };
  const auto is_after = [&](const Sample& s) {
    return marked ? when(s) == "after" : s.step == last && last > first;
  };
  std::vector<std::string> order;
  std::map<std::string, BeforeAfter> by_prompt;
  for (const Sample& s : samples) {
    BeforeAfter& pair = by_prompt[s.prompt];
    if (is_before(s) && !pair.before) {
      pair.before = &s;
      order.push_back(s.prompt);
    } else if (is_after(s) && !pair.after) {
      pair.after = &s;
    }
  }
  std::vector<BeforeAfter> out;
  for (const std::string& prompt : order) {
    if (by_prompt[prompt].after && out.size() < kRows) out.push_back(by_prompt[prompt]);
  }
  return out;
}

}  // namespace

Html samples_table(const std::vector<Json>& rows) {
  const std::vector<Sample> samples = read(rows);
  if (samples.empty()) return {};
  const auto earlier = [](const Sample& a, const Sample& b) { return a.step < b.step; };
  const double first = std::min_element(samples.begin(), samples.end(), earlier)->step;
  const double last = std::max_element(samples.begin(), samples.end(), earlier)->step;

  std::vector<std::vector<Html>> table_rows;
  if (const std::vector<BeforeAfter> pairs = pairs_of(samples, first, last); !pairs.empty()) {
    const auto heading = [](const char* word, const Sample& s) {
      return word + (": step " + short_number(s.step));
    };
    for (const auto& [before, after] : pairs) {
      table_rows.push_back({text(before->prompt, kLetters), text(before->completion, kLetters),
                            scores(*before->row), text(after->completion, kLetters),
                            scores(*after->row)});
    }
    return table({{.name = "Prompt", .wide = true},
                  {.name = heading("Before", *pairs[0].before), .wide = true},
                  {"Reward", true},
                  {.name = heading("After", *pairs[0].after), .wide = true},
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
