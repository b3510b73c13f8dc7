#include "cli/forecast.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"

namespace guerdon::cli {
namespace {

using train::memory_text;

std::string padded(const std::string& text, size_t width) {
  return text + std::string(width > text.size() ? width - text.size() : 1, ' ');
}

std::string right(const std::string& text, size_t width) {
  return std::string(width > text.size() ? width - text.size() : 0, ' ') + text;
}

std::string parameters_text(int64_t count) {
  char text[32];
  const auto n = static_cast<double>(count);
  std::snprintf(text, sizeof text,
                n >= 1e9   ? "%.2fB"
                : n >= 1e6 ? "%.1fM"
                           : "%.0fK",
                n >= 1e9   ? n / 1e9
                : n >= 1e6 ? n / 1e6
                           : n / 1e3);
  return text;
}

int64_t mean_tokens(const std::vector<model::PassSize>& groups) {
  int64_t sum = 0;
  for (const model::PassSize& group : groups) sum += group.tokens;
  return groups.empty() ? 0 : sum / static_cast<int64_t>(groups.size());
}

std::string family_of(const train::PreviewModel& model) {
  return model.body ? model.body->config().family : "vectors";
}

}  // namespace

std::string forecast_text(const train::Forecast& forecast) {
  std::string out;
  for (const train::PreviewModel& m : forecast.preview.models) {
    const model::ParameterMemory memory = model::parameter_memory(*m.module);
    out += padded(m.role, 12) + family_of(m) + ", " + parameters_text(memory.all / 4) +
           " parameters, " +
           (memory.trained == 0            ? "none"
            : memory.trained == memory.all ? "all"
                                           : parameters_text(memory.trained / 4)) +
           (m.judges || memory.trained == 0 ? " trained here" : " trained") + " (" +
           (m.folder.empty() ? "new" : m.folder.string()) + ")\n";
  }
  for (const train::PreviewFile& file : forecast.preview.files) {
    std::string counts;
    for (const auto& [name, count] : file.counts.by_name()) counts += str(", ", count, " ", name);
    int64_t longest = 0;
    for (const model::PassSize& group : file.groups) longest = std::max(longest, group.tokens);
    out += padded(file.set, 12) + file.file + ": " + file.form + "; " +
           (file.whole ? str("all ", file.rows, " rows") : str("the first ", file.rows, " rows")) +
           str(": ", file.groups.size(), " used", counts, "; ", mean_tokens(file.groups),
               " packed tokens on average, ", longest, " at most\n");
  }
  const train::MemoryPlan& plan = forecast.memory;
  out += padded("pass", 12) + str("a forward pass has up to ", plan.part.tokens, " packed tokens, ",
                                  plan.part.targets,
                                  forecast.preview.log_probs ? " targets" : " responses", "\n");
  return out;
}

std::string memory_line(const train::Forecast& forecast) {
  const train::MemoryPhase& peak = forecast.memory.peak();
  return padded("memory", 12) + memory_text(peak.total()) + " at the peak (" + peak.name +
         "), of " + memory_text(train::machine_memory()) + "\n";
}

std::string memory_table(const train::MemoryPlan& plan) {
  std::string out;
  for (const train::MemoryPhase& phase : plan.phases) {
    const bool peak = &phase == &plan.peak();
    out += padded(phase.name, 44) + right(memory_text(phase.total()), 10) +
           (peak ? "  <- peak\n" : "\n");
    for (const train::MemoryItem& item : phase.items)
      out += "  " + padded(item.name, 42) + right(memory_text(item.bytes), 10) + "\n";
  }
  return out;
}

Json forecast_json(const train::Forecast& forecast) {
  Json out = {{"models", Json::array()}, {"files", Json::array()}, {"phases", Json::array()}};
  for (const train::PreviewModel& m : forecast.preview.models) {
    const model::ParameterMemory memory = model::parameter_memory(*m.module);
    out["models"].push_back({{"role", m.role},
                             {"folder", m.folder.string()},
                             {"family", family_of(m)},
                             {"weight_bytes", memory.all},
                             {"trained_bytes", memory.trained}});
  }
  for (const train::PreviewFile& file : forecast.preview.files) {
    Json counts = Json::object();
    for (const auto& [name, count] : file.counts.by_name()) counts[name] = count;
    out["files"].push_back({{"set", file.set},
                            {"file", file.file},
                            {"form", file.form},
                            {"rows", file.rows},
                            {"whole", file.whole},
                            {"used", file.groups.size()},
                            {"counts", counts},
                            {"mean_tokens", mean_tokens(file.groups)}});
  }
  for (const train::MemoryPhase& phase : forecast.memory.phases) {
    Json items = Json::array();
    for (const train::MemoryItem& item : phase.items)
      items.push_back({{"name", item.name}, {"bytes", item.bytes}});
    out["phases"].push_back({{"name", phase.name}, {"bytes", phase.total()}, {"items", items}});
  }
  out["pass"] = {{"tokens", forecast.memory.part.tokens},
                 {"targets", forecast.memory.part.targets},
                 {"groups", forecast.memory.groups}};
  out["peak_bytes"] = forecast.memory.peak().total();
  out["peak_phase"] = forecast.memory.peak().name;
  return out;
}

int64_t bytes_of_text(const std::string& text, const std::string& where) {
  size_t used = 0;
  double number = -1.0;
  try {
    number = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  std::string unit = text.substr(used);
  unit.erase(std::remove(unit.begin(), unit.end(), ' '), unit.end());
  const std::pair<const char*, double> units[] = {
      {"", 1},      {"B", 1},        {"KB", 1e3},     {"MB", 1e6},     {"GB", 1e9},
      {"TB", 1e12}, {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40},
  };
  const auto* known = std::find_if(std::begin(units), std::end(units),
                                   [&](const auto& entry) { return unit == entry.first; });
  if (used == 0 || known == std::end(units) || !(number > 0) || number * known->second > 0x1p60) {
    fail_settings(where, "a size like 8GiB, 512MiB or 16GB is expected, got " + show(text));
  }
  return static_cast<int64_t>(number * known->second);
}

}  // namespace guerdon::cli
