#include "guerdon/base/file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "guerdon/base/error.h"

namespace guerdon {
namespace fs = std::filesystem;
namespace {

FileCalls& real_calls() {
  static FileCalls calls;
  return calls;
}
FileCalls* replaced_calls = nullptr;
FileCalls& calls() { return replaced_calls ? *replaced_calls : real_calls(); }

std::string reason() { return std::strerror(errno); }

[[noreturn]] void fail_write(const fs::path& file, const std::string& doing) {
  fail_surroundings(file.string(), "could not " + doing + ": " + reason());
}

std::string random_suffix() {
  std::random_device device;
  char text[20];
  std::snprintf(text, sizeof text, "%08x%08x", device(), device());
  return text;
}

/// A file descriptor that is being written; closes what it opened.
class Output {
 public:
  Output(const fs::path& file, int flags)
      : file_(file), descriptor_(calls().open(file.c_str(), flags | O_CLOEXEC, 0644)) {
    if (descriptor_ < 0) fail_write(file, "create the file");
  }
  ~Output() {
    if (descriptor_ >= 0) calls().close(descriptor_);
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const int64_t written = calls().write(descriptor_, bytes.data(), bytes.size());
      if (written < 0) {
        if (errno == EINTR) continue;
        fail_write(file_, "write");
      }
      bytes.remove_prefix(static_cast<size_t>(written));
    }
  }
  void finish(bool sync) {
    if (sync && calls().fsync(descriptor_) != 0) fail_write(file_, "sync");
    const int closed = calls().close(descriptor_);
    descriptor_ = -1;
    if (closed != 0) fail_write(file_, "close");
  }

 private:
  fs::path file_;
  int descriptor_;
};

void sync_folder(const fs::path& folder) {
  const int descriptor = calls().open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (descriptor < 0) fail_write(folder, "open the folder");
  const int synced = calls().fsync(descriptor);
  const int error = errno;
  calls().close(descriptor);
  if (synced != 0) {
    errno = error;
    fail_write(folder, "sync the folder");
  }
}

fs::path parent_of(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

void make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail_surroundings(folder.string(), "could not make the folder: " + error.message());
}

}  // namespace

int FileCalls::open(const char* path, int flags, unsigned mode) {
  return ::open(path, flags, mode);
}
int64_t FileCalls::write(int descriptor, const char* data, size_t size) {
  return ::write(descriptor, data, size);
}
int FileCalls::fsync(int descriptor) { return ::fsync(descriptor); }
int FileCalls::close(int descriptor) { return ::close(descriptor); }
int FileCalls::rename(const char* from, const char* to) { return std::rename(from, to); }
void FileCalls::use(FileCalls* calls) { replaced_calls = calls; }

std::string read_file(const fs::path& file, size_t max_bytes) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail_input(file.string(), "cannot be read: " + reason());
  struct Closer {
    int descriptor;
    ~Closer() { ::close(descriptor); }
  } closer{descriptor};
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) fail_input(file.string(), "cannot be read: " + reason());
  if (S_ISDIR(status.st_mode)) fail_input(file.string(), "is a folder, a file is expected");
  if (S_ISREG(status.st_mode) && static_cast<uint64_t>(status.st_size) > max_bytes) {
    fail_input(file.string(), str("has ", status.st_size, " bytes (limit ", max_bytes, ")"));
  }
  std::string content;
  std::array<char, 1 << 16> buffer;
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_input(file.string(), "cannot be read: " + reason());
    if (count == 0) return content;
    content.append(buffer.data(), static_cast<size_t>(count));
    if (content.size() > max_bytes)
      fail_input(file.string(), str("is longer than ", max_bytes, " bytes"));
  }
}

struct NewFile::State {
  State(const fs::path& file, const fs::path& temporary)
      : file(file), temporary(temporary), output(temporary, O_WRONLY | O_CREAT | O_EXCL) {}

  fs::path file, temporary;
  Output output;
  bool committed = false;
};

NewFile::NewFile(const fs::path& file) {
  const fs::path folder = parent_of(file);
  make_folders(folder);
  const fs::path temporary =
      folder / ("." + file.filename().string().substr(0, 200) + ".tmp-" + random_suffix());
  state_ = std::make_unique<State>(file, temporary);
}

NewFile::~NewFile() {
  std::error_code ignored;
  if (!state_->committed) fs::remove(state_->temporary, ignored);
}

void NewFile::write(std::string_view bytes) { state_->output.write(bytes); }

void NewFile::commit() {
  state_->output.finish(true);
  if (calls().rename(state_->temporary.c_str(), state_->file.c_str()) != 0)
    fail_write(state_->file, "rename");
  state_->committed = true;
  sync_folder(parent_of(state_->file));
}

void write_file(const fs::path& file, std::string_view bytes) {
  NewFile output(file);
  output.write(bytes);
  output.commit();
}

void append_file(const fs::path& file, std::string_view bytes) {
  Output output(file, O_WRONLY | O_CREAT | O_APPEND);
  output.write(bytes);
  output.finish(false);
}

NewFolder::NewFolder(const fs::path& target)
    : target_(target),
      temporary_(parent_of(target) /
                 (".tmp-" + target.filename().string() + "-" + random_suffix())) {
  make_folders(temporary_);
}

NewFolder::~NewFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(temporary_, ignored);
}

void NewFolder::add(
    const std::string& name,
    const std::function<void(const std::function<void(std::string_view)>&)>& write) {
  const fs::path file = temporary_ / name;
  if (file.has_parent_path()) make_folders(file.parent_path());
  Output output(file, O_WRONLY | O_CREAT | O_EXCL);
  write([&](std::string_view bytes) { output.write(bytes); });
  output.finish(true);
}

void NewFolder::add(const std::string& name, std::string_view bytes) {
  add(name, [&](const auto& put) { put(bytes); });
}

void NewFolder::commit() {
  sync_folder(temporary_);
  const fs::path old =
      parent_of(target_) / (".trash-" + target_.filename().string() + "-" + random_suffix());
  const bool replaces = fs::exists(target_);
  if (replaces && calls().rename(target_.c_str(), old.c_str()) != 0)
    fail_write(target_, "move aside");
  if (calls().rename(temporary_.c_str(), target_.c_str()) != 0) {
    const int error = errno;
    if (replaces) calls().rename(old.c_str(), target_.c_str());
    errno = error;
    fail_write(target_, "rename");
  }
  committed_ = true;
  sync_folder(parent_of(target_));
  std::error_code ignored;
  if (replaces) fs::remove_all(old, ignored);
}

ScratchFolder::ScratchFolder() {
  std::string name = (fs::temp_directory_path() / "guerdon-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) fail_write(name, "make");
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

MappedFile::MappedFile(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail_input(file.string(), "cannot be read: " + reason());
  struct stat status {};
  const bool regular = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  if (regular && status.st_size > 0) {
    size_ = static_cast<size_t>(status.st_size);
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    data_ = address == MAP_FAILED ? nullptr : static_cast<const char*>(address);
  }
  ::close(descriptor);
  if (!regular) fail_input(file.string(), "is not a regular file");
  if (size_ > 0 && !data_)
    fail_surroundings(file.string(), "could not be mapped into memory: " + reason());
}

MappedFile::MappedFile(MappedFile&& other) noexcept : data_(other.data_), size_(other.size_) {
  other.data_ = nullptr;
  other.size_ = 0;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<char*>(data_), size_);
}

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  GUERDON_CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1,
                "libcrypto has no SHA-256");
}
Sha256::~Sha256() = default;

void Sha256::add(std::string_view bytes) {
  EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned length = 0;
  EVP_DigestFinal_ex(state_->context, digest.data(), &length);
  std::string out;
  for (unsigned i = 0; i < length; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    out += kDigits[digest[i] >> 4];
    out += kDigits[digest[i] & 15];
  }
  return out;
}

std::string sha256(std::string_view bytes) {
  Sha256 sum;
  sum.add(bytes);
  return sum.hex();
}

// In pieces: a file that is mapped whole counts as memory of the process while it is read.
std::string sha256_file(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail_input(file.string(), "cannot be read: " + reason());
  std::vector<char> piece(size_t{1} << 20);
  Sha256 sum;
  ssize_t got = 0;
  while ((got = ::read(descriptor, piece.data(), piece.size())) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) break;
    sum.add({piece.data(), static_cast<size_t>(got)});
  }
  const std::string why = got < 0 ? reason() : "";
  ::close(descriptor);
  if (got < 0) fail_input(file.string(), "cannot be read: " + why);
  return sum.hex();
}

FileLock::FileLock(const fs::path& file) {
  make_folders(parent_of(file));
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail_write(file, "create the lock");
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t length = ::pread(descriptor_, holder, sizeof holder - 1, 0);
    ::close(descriptor_);
    descriptor_ = -1;
    fail_surroundings(
        file.string(),
        "is held by process " + (length > 0 ? std::string(holder) : std::string("?")),
        "another guerdon works in this run folder; wait for it or choose another --output");
  }
  const std::string self = std::to_string(::getpid());
  if (::ftruncate(descriptor_, 0) != 0 || ::pwrite(descriptor_, self.data(), self.size(), 0) < 0) {
    fail_write(file, "write the process id");
  }
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace guerdon
