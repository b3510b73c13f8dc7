#include "report/run_record.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"

namespace guerdon::report {
namespace fs = std::filesystem;
namespace {

constexpr size_t kLogEnd = 8000, kSamples = 20000, kWarnings = 50;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// The lines of a file; `use` gets each one that is not empty.
template <class Use>
void for_each_line(const std::string& text, const Use& use) {
  for (size_t begin = 0, line = 1; begin < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin)
      use(std::string_view(text).substr(begin, end - begin), line, end == text.size());
    begin = end + 1;
  }
}

/// Numbers by their dotted or slashed names: {"rewards": {"x": 1}} is "rewards/x".
void collect_numbers(const Json& value, const std::string& name,
                     std::map<std::string, double>& out) {
  if (value.is_number()) out[name] = value.get<double>();
  if (value.is_null()) out[name] = kNaN;
  if (value.is_boolean()) out[name] = value.get<bool>() ? 1 : 0;
  if (value.is_object()) {
    for (const auto& [key, member] : value.items())
      collect_numbers(member, name.empty() ? key : name + "/" + key, out);
  }
}

class Reader {
 public:
  explicit Reader(RunRecord& run) : run_(run) {}

  Json object(const char* name) {
    return attempt(name, [&](const fs::path& file) { return read_json(file); });
  }

  /// JSON lines. A cut last line is what a run that is still going looks like; any other bad line
  /// is reported once.
  void lines(const char* name, const std::function<void(const Json&)>& use) {
    attempt(name, [&](const fs::path& file) -> Json {
      std::string first_error;
      for_each_line(read_file(file), [&](std::string_view line, size_t number, bool unfinished) {
        try {
          const Json row = parse_json(line, file.string(), number);
          if (row.is_object()) use(row);
        } catch (const Error& e) {
          if (!unfinished && first_error.empty()) first_error = e.what();
        }
      });
      if (!first_error.empty()) run_.unread.push_back(first_error);
      return nullptr;
    });
  }

  void log(const char* name) {
    attempt(name, [&](const fs::path& file) -> Json {
      const std::string text = read_file(file);
      std::set<std::string> seen;
      for_each_line(text, [&](std::string_view line, size_t, bool) {
        const size_t at = line.find("warning");
        if (at == std::string_view::npos || at > 60) return;
        std::string message(line.substr(at));
        // "warning: text", "warning] text"
        message.erase(0, std::min(message.find_first_not_of(":] ", 7), message.size()));
        if (!message.empty() && seen.size() < kWarnings && seen.insert(message).second)
          run_.warnings.push_back(message);
      });
      size_t begin = text.size() > kLogEnd ? text.size() - kLogEnd : 0;
      if (begin > 0) begin = std::min(text.find('\n', begin), text.size() - 1) + 1;
      run_.log_end = text.substr(begin);
      return nullptr;
    });
  }

 private:
  template <class Action>
  Json attempt(const char* name, const Action& action) {
    const fs::path file = run_.folder / name;
    std::error_code missing;
    if (!fs::is_regular_file(file, missing)) return nullptr;
    try {
      return action(file);
    } catch (const Error& e) {
      run_.unread.emplace_back(e.what());
      return nullptr;
    }
  }

  RunRecord& run_;
};

}  // namespace

const Curve* RunRecord::find(const std::string& metric) const {
  const auto found = metrics.find(metric);
  return found == metrics.end() ? nullptr : &found->second;
}

std::string RunRecord::status() const {
  if (manifest.is_object()) {
    const auto status = manifest.find("status");
    if (status != manifest.end() && status->is_string()) return status->get<std::string>();
  }
  return "unknown";
}

RunRecord read_run(const fs::path& folder) {
  if (!fs::is_directory(folder)) fail_input(folder.string(), "no such run folder");
  RunRecord run;
  run.folder = folder;
  run.name = fs::absolute(folder).lexically_normal().filename().string();
  if (run.name.empty())
    run.name = fs::absolute(folder).lexically_normal().parent_path().filename().string();

  Reader reader(run);
  run.config = reader.object("config.json");
  run.manifest = reader.object("manifest.json");
  run.result = reader.object("result.json");
  reader.lines("metrics.jsonl", [&](const Json& row) {
    std::map<std::string, double> numbers;
    collect_numbers(row, "", numbers);
    const auto step = numbers.find("step");
    if (step == numbers.end()) return;
    for (const auto& [name, value] : numbers) {
      if (name == "step") continue;
      Curve& curve = run.metrics[name];
      curve.steps.push_back(step->second);
      curve.values.push_back(value);
    }
  });
  reader.lines("samples.jsonl", [&](const Json& row) {
    if (run.samples.size() < kSamples) run.samples.push_back(row);
  });
  reader.log("log.txt");

  if (run.metrics.empty() && run.samples.empty() && run.config.is_null() &&
      run.manifest.is_null() && run.result.is_null() && run.unread.empty()) {
    fail_input(folder.string(),
               "holds no run (expected config.json, metrics.jsonl or manifest.json)");
  }
  return run;
}

}  // namespace guerdon::report
