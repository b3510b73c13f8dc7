/// A run folder, read; and what its numbers show. Private to the room.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "guerdon/base/json_reader.h"
#include "guerdon/report/html.h"

namespace guerdon::report {

/// A logged number over the steps; `values` may be NaN (logged as null).
struct Curve {
  std::vector<double> steps, values;
};

/// What a run folder holds; the files are those of run_report.h.
struct RunRecord {
  std::filesystem::path folder;
  std::string name;
  Json config, manifest, result;  ///< null when absent
  std::map<std::string, Curve> metrics;
  std::vector<Json> samples;
  std::vector<std::string> warnings;  ///< lines of the log, without repeats
  std::string log_end;
  std::vector<std::string> unread;  ///< files that are damaged, and how

  const Curve* find(const std::string& metric) const;  ///< null when it was never logged
  std::string status() const;                          ///< "unknown" without a manifest
};

/// Throws Error (Kind::input) when the folder does not exist or holds nothing of a run.
RunRecord read_run(const std::filesystem::path& folder);

/// Something worth knowing that the numbers show: a policy that drifts, a reward that is hacked, a
/// run that learns nothing.
struct Diagnosis {
  Mood mood;
  std::string what, advice;
};

/// Rules of thumb over the metrics; each names the numbers that it saw. Thresholds stand at the
/// rules.
std::vector<Diagnosis> diagnoses(const RunRecord& run);

}  // namespace guerdon::report
