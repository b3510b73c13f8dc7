/// Child processes with limits: time, output, memory. A child that exceeds one is killed together
/// with its process group.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace guerdon {

/// Limits of the kernel's (setrlimit) for the child and what it starts; 0 means none. Core dumps
/// are always off.
struct ResourceLimits {
  uint64_t memory_bytes = 0;  ///< address space
  uint64_t cpu_s = 0;         ///< processor time
  uint64_t file_bytes = 0;    ///< size of a file that it writes
  uint64_t open_files = 0;
};

struct ProcessOptions {
  std::vector<std::string> command;   ///< program (looked up in PATH) and arguments; no shell
  std::filesystem::path folder = {};  ///< working folder; empty: this process's
  std::map<std::string, std::string> environment =
      {};                                ///< variables added to, or replaced in, the environment
  bool clear_environment = false;        ///< start from `environment` alone
  size_t max_output = size_t{16} << 20;  ///< bytes of one answer, or of the whole standard output
  size_t max_errors = size_t{64} << 10;  ///< bytes kept of standard error: the last ones
  ResourceLimits limits = {};
};

/// How a child ended.
struct ProcessResult {
  int code = 0;            ///< exit code; 0 when a signal ended it
  int signal = 0;          ///< the signal that ended it, or 0
  bool timed_out = false;  ///< killed because its time was up
  bool too_long = false;   ///< killed because its output exceeded max_output
  std::string output, errors;

  bool good() const { return code == 0 && signal == 0 && !timed_out && !too_long; }
};

/// A running child that is spoken to in lines. Used by one thread at a time.
class Process {
 public:
  /// Starts it. Throws Error: Kind::settings when there is no such program, Kind::surroundings when
  /// it cannot be started.
  explicit Process(const ProcessOptions& options);
  /// Kills it, and its process group, when it still runs.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  enum class Status { line, ended, timed_out, too_long };
  struct Reply {
    Status status = Status::line;
    std::string
        text;  ///< the line without its end; with `ended`, what came after the last line end
  };
  /// Sends `text` (as it is: a line needs its line end), and waits for the next line of output,
  /// both within `timeout_s`. After anything but `line` the child is of no further use: `finish`
  /// it.
  Reply ask(std::string_view text, double timeout_s);

  /// Sends `text`, ends the input, and waits for the end of the child. Past `timeout_s` it is
  /// killed.
  ProcessResult finish(double timeout_s, std::string_view text = {});

  /// What it has written to standard error so far (the last max_errors bytes).
  const std::string& errors() const;
  pid_t id() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Runs a program to its end.
ProcessResult run_process(const ProcessOptions& options, double timeout_s,
                          std::string_view input = {});

/// Where a program is: the path itself when the name has a slash, else the first match in PATH.
std::optional<std::filesystem::path> find_program(const std::string& name);

}  // namespace guerdon
