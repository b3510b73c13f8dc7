#include "guerdon/train/run_folder.h"

#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/version.h"

namespace guerdon::train {
namespace fs = std::filesystem;
namespace {

constexpr int kFormat = 1;
constexpr RunStatus kStatuses[] = {RunStatus::running, RunStatus::finished, RunStatus::interrupted,
                                   RunStatus::failed};

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

int64_t entries(const fs::path& folder) {
  if (!fs::exists(folder)) return 0;
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

}  // namespace

std::string name_of(RunStatus status) {
  switch (status) {
    case RunStatus::running: return "running";
    case RunStatus::finished: return "finished";
    case RunStatus::interrupted: return "interrupted";
    case RunStatus::failed: return "failed";
  }
  return {};
}

std::optional<RunManifest> read_run_manifest(const fs::path& folder) {
  const fs::path file = folder / "manifest.json";
  if (!fs::exists(file)) return std::nullopt;
  const Json json = read_json(file);
  const auto malformed = [&](const std::string& what) { fail_input(file.string(), what); };
  RunManifest out;
  try {
    out.command = json.at("command").get<std::string>();
    out.step = json.at("step").get<int64_t>();
    out.seconds = json.at("seconds").get<double>();
    out.settings_sha256 = json.at("settings_sha256").get<std::string>();
    out.data_fingerprint = json.at("data_fingerprint").get<std::string>();
    out.error = json.value("error", "");
    const std::string name = json.at("status").get<std::string>();
    for (const RunStatus status : kStatuses) {
      if (name_of(status) != name) continue;
      out.status = status;
      return out;
    }
  } catch (const Json::exception&) {
    malformed("is not the manifest of a run");
  }
  malformed("has a status that this version does not know");
  return std::nullopt;
}

RunFolder::RunFolder(const fs::path& folder, bool resume) : path_(folder), lock_(folder / "lock") {
  check(folder, resume);
}

void RunFolder::check(const fs::path& folder, bool resume) {
  if (!resume && (fs::exists(folder / "manifest.json") || entries(folder / "checkpoints") > 0)) {
    fail_settings(folder.string(), "holds a run already",
                  "go on with it (--resume), or choose another --output");
  }
  // The nearest folder that is there is where the run would be made.
  fs::path there = fs::absolute(folder);
  while (!fs::exists(there) && there.has_relative_path()) there = there.parent_path();
  if (!fs::is_directory(there)) fail_surroundings(there.string(), "is not a folder");
  if (::access(there.c_str(), W_OK) != 0) fail_surroundings(there.string(), "cannot be written to");
}

void RunFolder::write_config(const Json& settings) {
  write_file(path_ / "config.json", settings.dump(2) + "\n");
}

void RunFolder::write_manifest(const RunManifest& m) {
  Json json = {{"format", kFormat},
               {"guerdon", version()},
               {"command", m.command},
               {"status", name_of(m.status)},
               {"step", m.step},
               {"seconds", m.seconds},
               {"time", now()},
               {"settings_sha256", m.settings_sha256},
               {"data_fingerprint", m.data_fingerprint}};
  if (!m.error.empty()) json["error"] = m.error;
  write_file(path_ / "manifest.json",
             json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void RunFolder::begin(int64_t step, bool tensorboard) {
  cut_lines_after(path_ / "metrics.jsonl", step);
  cut_lines_after(path_ / "samples.jsonl", step);
  if (tensorboard) events_.emplace(path_ / "tb", entries(path_ / "tb"));
}

void RunFolder::add_metrics(int64_t step, const Numbers& numbers) {
  append_file(path_ / "metrics.jsonl", metrics_line(step, numbers));
  if (events_) events_->add(step, now(), numbers);
}

void RunFolder::add_sample(int64_t step, const Json& sample) {
  Json line = {{"step", step}};
  for (const auto& [key, value] : sample.items()) line[key] = value;
  append_file(path_ / "samples.jsonl",
              line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace guerdon::train
