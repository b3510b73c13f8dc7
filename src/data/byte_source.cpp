#include "data/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/base/log.h"

namespace guerdon::data {
namespace {
namespace fs = std::filesystem;

constexpr uint64_t kFreeBytes = uint64_t{64} << 20;  // up to here any ratio will do
constexpr uint64_t kMaxRatio = 1000;                 // deflate itself cannot exceed 1,032
constexpr size_t kPiece = size_t{64} << 10;

class PlainFile final : public ByteSource {
 public:
  explicit PlainFile(const fs::path& file) : where_(file.string()) {
    descriptor_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) {
      const std::string reason = std::strerror(errno);
      if (descriptor_ >= 0) ::close(descriptor_);
      fail_input(where_, "cannot be read: " + reason);
    }
    if (S_ISDIR(status.st_mode)) {
      ::close(descriptor_);
      fail_input(where_, "is a folder, a file is expected");
    }
  }
  ~PlainFile() override { ::close(descriptor_); }

  size_t read(char* out, size_t size) override {
    for (;;) {
      const ssize_t got = ::read(descriptor_, out, size);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno != EINTR)
        fail_input(where_, std::string("cannot be read: ") + std::strerror(errno));
    }
  }

 private:
  std::string where_;
  int descriptor_ = -1;
};

class Gunzip final : public ByteSource {
 public:
  Gunzip(std::unique_ptr<ByteSource> source, std::string where)
      : source_(std::move(source)), where_(std::move(where)), input_(kPiece) {
    // 16 + 15: gzip with its largest window.
    GUERDON_CHECK(::inflateInit2(&stream_, 16 + 15) == Z_OK, "zlib cannot start");
  }
  ~Gunzip() override { ::inflateEnd(&stream_); }

  size_t read(char* out, size_t size) override {
    size = std::min<size_t>(size, size_t{1} << 30);  // zlib counts in 32 bits
    while (!ended_) {
      if (stream_.avail_in == 0 && !refill()) {
        if (between_members_) {
          ended_ = true;
          break;
        }
        fail_input(where_, "gzip stream ends early");
      }
      if (between_members_ && !next_member()) continue;
      stream_.next_out = reinterpret_cast<Bytef*>(out);
      stream_.avail_out = static_cast<uInt>(size);
      const int result = ::inflate(&stream_, Z_NO_FLUSH);
      const size_t got = size - stream_.avail_out;
      produced_ += got;
      if (produced_ > kFreeBytes && produced_ / kMaxRatio > consumed_) {
        fail_input(where_, str("gzip stream grows more than ", kMaxRatio, "-fold"));
      }
      if (result == Z_STREAM_END) {
        between_members_ = true;
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        fail_input(where_,
                   str("gzip stream is damaged (", stream_.msg ? stream_.msg : "bad data", ")"));
      }
      if (got > 0) return got;
    }
    return 0;
  }

 private:
  bool refill() {
    const size_t got = source_->read(input_.data(), input_.size());
    consumed_ += got;
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream_.avail_in = static_cast<uInt>(got);
    return got > 0;
  }

  // After a member: another one, or zeros that pad the file (tapes do), which are skipped. True
  // when a member begins.
  bool next_member() {
    while (stream_.avail_in > 0 && *stream_.next_in == 0) ++stream_.next_in, --stream_.avail_in;
    if (stream_.avail_in == 0) return false;
    if (*stream_.next_in != 0x1f) fail_input(where_, "has bytes after its gzip stream");
    ::inflateReset(&stream_);
    between_members_ = false;
    return true;
  }

  std::unique_ptr<ByteSource> source_;
  std::string where_;
  std::vector<char> input_;
  z_stream stream_{};
  uint64_t consumed_ = 0, produced_ = 0;
  bool between_members_ = false, ended_ = false;
};

/// Bytes that were read ahead, then the rest.
class Ahead final : public ByteSource {
 public:
  Ahead(std::string first, std::unique_ptr<ByteSource> rest)
      : first_(std::move(first)), rest_(std::move(rest)) {}
  size_t read(char* out, size_t size) override {
    if (at_ == first_.size()) return rest_ ? rest_->read(out, size) : 0;
    const size_t count = std::min(size, first_.size() - at_);
    std::memcpy(out, first_.data() + at_, count);
    at_ += count;
    return count;
  }

 private:
  std::string first_;
  size_t at_ = 0;
  std::unique_ptr<ByteSource> rest_;
};

class Tee final : public ByteSource {
 public:
  Tee(std::unique_ptr<ByteSource> source, std::function<void(const char*, size_t)> seen)
      : source_(std::move(source)), seen_(std::move(seen)) {}
  size_t read(char* out, size_t size) override {
    const size_t got = source_->read(out, size);
    if (got > 0) seen_(out, got);
    return got;
  }

 private:
  std::unique_ptr<ByteSource> source_;
  std::function<void(const char*, size_t)> seen_;
};

}  // namespace

std::unique_ptr<ByteSource> open_plain(const fs::path& file) {
  return std::make_unique<PlainFile>(file);
}

std::unique_ptr<ByteSource> gunzip(std::unique_ptr<ByteSource> compressed,
                                   const std::string& where) {
  return std::make_unique<Gunzip>(std::move(compressed), where);
}

std::unique_ptr<ByteSource> open_bytes(const fs::path& file, bool* was_gzip) {
  std::unique_ptr<ByteSource> source = open_plain(file);
  std::string first(2, '\0');
  size_t got = source->read(first.data(), 2);
  if (got == 1) got += source->read(first.data() + 1, 1);
  first.resize(got);
  const bool is_gzip = first == "\x1f\x8b";
  if (was_gzip) *was_gzip = is_gzip;
  source = std::make_unique<Ahead>(first, std::move(source));
  const bool named_gzip = file.extension() == ".gz";
  if (is_gzip && !named_gzip)
    log::warning(file.string() + ": is gzip, though its name does not end in .gz");
  if (!is_gzip && named_gzip)
    log::warning(file.string() + ": is not gzip, though its name ends in .gz");
  return is_gzip ? gunzip(std::move(source), file.string()) : std::move(source);
}

std::unique_ptr<ByteSource> tee(std::unique_ptr<ByteSource> source,
                                std::function<void(const char*, size_t)> seen) {
  return std::make_unique<Tee>(std::move(source), std::move(seen));
}

std::unique_ptr<ByteSource> bytes_of(std::string text) {
  return std::make_unique<Ahead>(std::move(text), nullptr);
}

}  // namespace guerdon::data
