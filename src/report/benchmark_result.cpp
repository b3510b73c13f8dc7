#include "report/benchmark_result.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "guerdon/base/error.h"
#include "guerdon/report/svg.h"

namespace guerdon::report {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

const Json& member(const Json& object, const char* key) {
  static const Json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

double number(const Json& object, const char* key) {
  const Json& value = member(object, key);
  return value.is_number() ? value.get<double>() : kNaN;
}

std::string words(const Json& object, const char* key) {
  const Json& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : "";
}

/// The entries of a list that are objects.
std::vector<const Json*> objects(const Json& list) {
  std::vector<const Json*> out;
  if (!list.is_array()) return out;
  for (const Json& entry : list) {
    if (entry.is_object()) out.push_back(&entry);
  }
  return out;
}

std::string percent(double share) {
  return std::isfinite(share) ? short_number(std::round(share * 1000) / 10) + " %" : "-";
}

std::string interval(const Json& object) {
  const Json& ends = member(object, "interval");
  if (!ends.is_array() || ends.size() != 2 || !ends[0].is_number() || !ends[1].is_number())
    return "";
  return percent(ends[0].get<double>()) + " to " + percent(ends[1].get<double>());
}

Html score_table(const std::vector<const Json*>& models) {
  std::vector<std::vector<Html>> rows;
  rows.reserve(models.size());
  for (const Json* model : models) {
    rows.push_back({text(words(*model, "name")), text(percent(number(*model, "score"))),
                    text(interval(*model)), text(short_number(number(*model, "rows")))});
  }
  return table({{"model"}, {"score", true}, {"95 % interval", true}, {"rows", true}}, rows);
}

/// Subsets down, models across.
std::optional<Html> subset_map(const std::vector<const Json*>& models) {
  std::vector<std::string> subsets, names;
  for (const Json* model : models) {
    names.push_back(words(*model, "name"));
    for (const Json* subset : objects(member(*model, "subsets"))) {
      const std::string name = words(*subset, "name");
      if (std::find(subsets.begin(), subsets.end(), name) == subsets.end()) subsets.push_back(name);
    }
  }
  if (subsets.size() < 2) return std::nullopt;
  std::vector<std::vector<double>> values(subsets.size(), std::vector<double>(names.size(), kNaN));
  for (size_t m = 0; m < models.size(); ++m) {
    for (const Json* subset : objects(member(*models[m], "subsets"))) {
      const auto place = std::find(subsets.begin(), subsets.end(), words(*subset, "name"));
      values[static_cast<size_t>(place - subsets.begin())][m] = number(*subset, "score");
    }
  }
  return heat_table(subsets, names, values);
}

Html comparison_table(const std::vector<const Json*>& comparisons) {
  std::vector<std::vector<Html>> rows;
  rows.reserve(comparisons.size());
  for (const Json* one : comparisons) {
    rows.push_back({text(words(*one, "model")), text(words(*one, "baseline")),
                    text(percent(number(*one, "difference"))), text(interval(*one)),
                    text(percent(number(*one, "share_above_zero")))});
  }
  return table({{"model"},
                {"compared with"},
                {"difference", true},
                {"95 % interval", true},
                {"better in", true}},
               rows);
}

/// Gold against the distance from the policy, a line a judge.
std::optional<Html> best_of_curves(const std::vector<const Json*>& models) {
  LinePlot plot{.x_label = "square root of KL", .smooth = false};
  for (const Json* model : models) {
    Series series{words(*model, "name"), {}, {}};
    for (const Json* point : objects(member(*model, "points"))) {
      series.x.push_back(std::sqrt(number(*point, "kl")));
      series.y.push_back(number(*point, "gold"));
      const Json& ends = member(*point, "interval");
      const bool known =
          ends.is_array() && ends.size() == 2 && ends[0].is_number() && ends[1].is_number();
      series.lower.push_back(known ? ends[0].get<double>() : kNaN);
      series.upper.push_back(known ? ends[1].get<double>() : kNaN);
    }
    if (series.x.size() > 1) plot.series.push_back(std::move(series));
  }
  if (plot.series.empty()) return std::nullopt;
  return figure("Best of n",
                "Gold value of the sample that each judge likes best, for n = 1, 2, 4, ...; with "
                "95 % intervals over prompts. A line that turns down is over-optimisation.",
                line_plot(plot));
}

}  // namespace

Html worst_rows(const Json& result) {
  std::vector<std::vector<Html>> rows;
  for (const Json* worst : objects(member(result, "worst"))) {
    rows.push_back({text(words(*worst, "where")), text(words(*worst, "subset")),
                    text(short_number(number(*worst, "margin"))),
                    text(words(*worst, "prompt"), 600), text(words(*worst, "right"), 600),
                    text(words(*worst, "wrong"), 600)});
  }
  if (rows.empty()) return {};
  const std::string name = words(result, "name");
  return folded(str("Rows that ", name.empty() ? "the judge" : name, " has wrong by the most (",
                    rows.size(), ")"),
                table({{"row"},
                       {"subset"},
                       {"margin", true},
                       {"prompt", false, true},
                       {"right", false, true},
                       {"preferred", false, true}},
                      rows),
                true);
}

bool has_models(const Json& result) { return !objects(member(result, "models")).empty(); }

Html benchmark_result(const Json& result) {
  const std::vector<const Json*> models = objects(member(result, "models"));
  std::vector<Html> out;
  if (std::isfinite(number(*models[0], "score"))) out.push_back(score_table(models));
  if (std::optional<Html> map = subset_map(models)) out.push_back(*std::move(map));
  if (const auto comparisons = objects(member(result, "comparisons")); !comparisons.empty())
    out.push_back(comparison_table(comparisons));
  if (std::optional<Html> curves = best_of_curves(models)) out.push_back(grid({*curves}));
  out.push_back(worst_rows(*models[0]));
  return joined(out);
}

}  // namespace guerdon::report
