/// The folder of a run: config.json, metrics.jsonl, tb/, samples.jsonl, checkpoints/, model/,
/// log.txt, manifest.json, lock.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "guerdon/base/file.h"
#include "guerdon/base/json_reader.h"
#include "guerdon/train/metrics.h"

namespace guerdon::train {

/// What became of a run, in manifest.json. A stage of a recipe is skipped when its run says
/// `finished` with the same settings and inputs.
enum class RunStatus {
  running,      ///< or it was killed: nobody holds the lock
  finished,     ///<
  interrupted,  ///< by a signal, after a checkpoint
  failed,       ///< an error, or a guard, ended it
};
std::string name_of(RunStatus status);

struct RunManifest {
  std::string command;  ///< "train reward"
  RunStatus status = RunStatus::running;
  int64_t step = 0;              ///< optimizer steps done
  double seconds = 0.0;          ///< time spent in them, over all resumes
  std::string settings_sha256;   ///< of config.json
  std::string data_fingerprint;  ///< of the training rows
  std::string error;             ///< what ended it, when it failed
};

/// The manifest of a run folder, nullopt when there is none. Throws Error (Kind::input) when it is
/// malformed.
std::optional<RunManifest> read_run_manifest(const std::filesystem::path& folder);

/// An open run folder; holds its lock. Every write goes through base/file.h.
class RunFolder {
 public:
  /// Makes the folder or opens an existing one. Throws Error: Kind::surroundings when another
  /// process works in it; Kind::settings when it holds a run and `resume` was not said.
  RunFolder(const std::filesystem::path& folder, bool resume);
  /// What opening would refuse, without making anything. Throws Error, Kind::surroundings also
  /// where nothing can be written.
  static void check(const std::filesystem::path& folder, bool resume);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path model() const { return path_ / "model"; }
  std::filesystem::path log_file() const { return path_ / "log.txt"; }

  /// Writes config.json: the resolved settings as JSON.
  void write_config(const Json& settings);
  void write_manifest(const RunManifest& manifest);

  /// Drops what metrics.jsonl and samples.jsonl have after `step`, and opens the event file.
  void begin(int64_t step, bool tensorboard);
  /// A line of metrics.jsonl and an event.
  void add_metrics(int64_t step, const Numbers& numbers);
  /// A line of samples.jsonl: a JSON object, which gets the step as its first key.
  void add_sample(int64_t step, const Json& sample);

 private:
  std::filesystem::path path_;
  FileLock lock_;
  std::optional<EventFile> events_;
};

}  // namespace guerdon::train
