#include "guerdon/data/strength.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/data/reader.h"

namespace guerdon::data {
namespace {

/// "member3", or "rm/member3".
bool is_member(const std::string& component) {
  const std::string last = component.substr(component.rfind('/') + 1);
  constexpr std::string_view kName = "member";
  return last.starts_with(kName) && last.size() > kName.size() &&
         std::all_of(last.begin() + kName.size(), last.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::string> members_of(const Fields& row) {
  std::vector<std::string> out;
  if (!row.has("components")) return out;
  const Json& components = row.json().at("components");
  if (!components.is_object()) return out;
  for (const auto& [name, value] : components.items())
    if (is_member(name)) out.push_back(name);
  return out;
}

std::vector<double> scores_of(const Fields& row, const std::vector<std::string>& members) {
  if (members.empty()) return {row.number("total")};
  const Json none = Json::object();
  const bool there = row.has("components") && row.json().at("components").is_object();
  const Fields components(there ? row.json().at("components") : none, row.where());
  std::vector<double> out;
  out.reserve(members.size());
  for (const std::string& name : members) out.push_back(components.number(name));
  return out;
}

}  // namespace

Strength strength_of(std::span<const double> differences) {
  GUERDON_CHECK(!differences.empty(), "strength_of: no member");
  const auto count = static_cast<double>(differences.size());
  Strength out;
  for (const double d : differences) out.mean += d / count;
  double squares = 0;
  for (const double d : differences) squares += (d - out.mean) * (d - out.mean);
  out.deviation = std::sqrt(squares / count);
  return out;
}

std::vector<std::vector<double>> read_differences(const std::filesystem::path& scores,
                                                  const std::vector<std::string>& members) {
  RowReader reader(scores);
  std::vector<std::vector<double>> out;
  std::vector<std::string> names = members;
  std::vector<double> chosen;
  for (bool first = true; const std::optional<Row> row = reader.next(); first = false) {
    const Fields& fields = row->fields;
    if (first && names.empty()) names = members_of(fields);
    const std::string expected = chosen.empty() ? "chosen" : "rejected";
    if (fields.text_or("response", "") != expected)
      fail_input(fields.where(), "is not the score of a " + expected + " response",
                 "guerdon score --data PAIRS writes one row for the chosen, one for the rejected");
    std::vector<double> own = scores_of(fields, names);
    if (chosen.empty()) {
      chosen = std::move(own);
      continue;
    }
    for (size_t m = 0; m < own.size(); ++m) own[m] = chosen[m] - own[m];
    out.push_back(std::move(own));
    chosen.clear();
  }
  if (!chosen.empty()) fail_input(scores.string(), "ends before the last rejected response");
  return out;
}

}  // namespace guerdon::data
