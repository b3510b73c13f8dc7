/// Standard error: log lines and the progress bar share it, and neither tears the other.
#pragma once

#include <chrono>
#include <filesystem>
#include <mutex>
#include <string>

#include "guerdon/base/log.h"
#include "guerdon/base/progress.h"

namespace guerdon::cli {

class Console {
 public:
  /// The one of this process: there is one standard error.
  static Console& get();

  /// A whole line (or several), above the bar.
  void print(const std::string& text);
  /// Where log messages go: here, and with a path also, with times, to that file.
  log::Sink log_sink(const std::filesystem::path& file = {});
  /// No bar and no progress lines from now on.
  void set_quiet(bool quiet);

  /// What draws progress: a bar that is redrawn in place on a terminal, elsewhere a line every ten
  /// seconds and one at the end. Each call starts a new task with a new clock.
  ProgressSink progress();

 private:
  Console();
  void draw(const std::string& bar);  // the lock is held
  void erase();

  std::mutex mutex_;
  const bool terminal_;
  bool quiet_ = false;
  std::string bar_;  // what stands on the last line of the terminal
};

/// The text of a progress line, at most `columns` wide: "task [####----] 12/40 steps, 3.1k
/// tokens/s, 0:32 left, loss 0.41". `begin` is the first report of the task (not at 0 after a
/// resume), `seconds` the time since then.
std::string progress_text(const Progress& begin, const Progress& now, double seconds,
                          size_t columns);

}  // namespace guerdon::cli
