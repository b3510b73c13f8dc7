#include "cli/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"

namespace guerdon::cli {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBuffer = size_t{1} << 16;

void write_to(int descriptor, std::string_view bytes, const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EPIPE && descriptor == STDOUT_FILENO) throw BrokenPipe();
    if (count < 0) fail_surroundings(name, std::string("could not write: ") + std::strerror(errno));
    bytes.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace

void write_standard_output(std::string_view bytes) {
  write_to(STDOUT_FILENO, bytes, "standard output");
}

Output::Output(const std::string& path) : path_(path == "-" ? "standard output" : path) {
  if (path.empty())
    fail_settings("flag --output", "is empty (a file, or - for standard output, is expected)");
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (path == "-") {
    descriptor_ = STDOUT_FILENO;
  } else if (fs::is_directory(status)) {
    fail_settings(path, "is a folder, a file is expected");
  } else if (fs::exists(status) && !fs::is_regular_file(status)) {
    // /dev/null, /dev/stdout, a named pipe: written through, never replaced by a rename.
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0)
      fail_surroundings(path, std::string("could not open: ") + std::strerror(errno));
  } else {
    file_ = std::make_unique<NewFile>(fs::is_symlink(path, error) ? fs::canonical(path)
                                                                  : fs::path(path));
  }
}

Output::~Output() {
  if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
}

void Output::write(std::string_view bytes) {
  buffer_ += bytes;
  if (buffer_.size() >= kBuffer) flush();
}

void Output::line(std::string_view text) {
  buffer_ += text;
  buffer_ += '\n';
  if (buffer_.size() >= kBuffer) flush();
}

void Output::flush() {
  if (file_) {
    file_->write(buffer_);
  } else {
    write_to(descriptor_, buffer_, path_);
  }
  buffer_.clear();
}

void Output::close() {
  flush();
  if (file_) file_->commit();
}

}  // namespace guerdon::cli
