/// Where a command's results go.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace guerdon {
class NewFile;
}

namespace guerdon::cli {

/// Whoever read standard output went away (`| head`). The program then ends quietly.
struct BrokenPipe : std::runtime_error {
  BrokenPipe() : std::runtime_error("standard output was closed by its reader") {}
};

/// Writes to standard output. Throws BrokenPipe, or Error (Kind::surroundings) when it is closed or
/// the disk is full.
void write_standard_output(std::string_view bytes);

/// Results on their way to standard output ("-"), to a device or pipe, or to a file, which appears
/// whole at `close`: a command that fails halfway leaves no half file, and the older one stays.
class Output {
 public:
  explicit Output(const std::string& path);
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void write(std::string_view bytes);
  /// `text` and a line end.
  void line(std::string_view text);
  /// Without it nothing but what went to standard output is kept.
  void close();

 private:
  void flush();

  std::unique_ptr<NewFile> file_;
  int descriptor_ = -1;
  std::string path_, buffer_;
};

}  // namespace guerdon::cli
