/// The loop that all algorithms share: accumulation, clipping, schedule, evaluation, checkpoints,
/// resume, logging, and what happens when numbers go wrong.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "guerdon/base/progress.h"
#include "guerdon/train/algorithm.h"
#include "guerdon/train/run_folder.h"
#include "guerdon/train/settings.h"

namespace guerdon::train {

struct LoopOptions {
  std::string command;          ///< "train reward": for manifest and progress
  std::string settings_sha256;  ///< of config.json
  bool resume = false;          ///< go on from the newest intact checkpoint, if there is one
  std::optional<std::filesystem::path> resume_from;  ///< from this one exactly
  ProgressSink progress;
};

struct TrainResult {
  RunStatus status = RunStatus::finished;
  int64_t step = 0;
  Numbers last;                 ///< metrics of the last step
  std::filesystem::path model;  ///< the run's model folder; empty unless finished
};

/// Trains until the steps are done, early stopping says so, or a signal asks to stop
/// (base/signals.h); then, and whenever it is due, writes a checkpoint. Model: `run.model()`.
///
/// A step whose loss or gradient is not finite is skipped and counted, and its rows are named in
/// the log; three in a row end the run. After the first steps every trained tensor must have had a
/// gradient and moved. Throws Error: Kind::stopped for such guards, Kind::surroundings when a
/// checkpoint cannot be written, Kind::input when a checkpoint cannot be resumed from.
TrainResult train(Algorithm& algorithm, const TrainSettings& settings, RunFolder& run,
                  const LoopOptions& options);

}  // namespace guerdon::train
