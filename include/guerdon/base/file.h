/// Files: reading with a limit, writing that is all there or not there, hashes, locks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace guerdon {

/// The whole file. Throws Error: Kind::input when it is missing, a folder, unreadable, or longer
/// than `max_bytes`.
std::string read_file(const std::filesystem::path& file, size_t max_bytes = size_t{1} << 30);

/// Writes the file beside its name, syncs, renames, and syncs the folder: afterwards the old or the
/// new content is there, never a part. Missing parent folders are made. Throws Error
/// (Kind::surroundings).
void write_file(const std::filesystem::path& file, std::string_view bytes);

/// A file that is written piece by piece and appears at once, with the guarantees of write_file.
/// Without `commit` the destructor removes what was written. Throws Error (Kind::surroundings).
class NewFile {
 public:
  explicit NewFile(const std::filesystem::path& file);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void write(std::string_view bytes);
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Appends with a single write call, so that a line is there whole or not at all (but for a full
/// disk).
void append_file(const std::filesystem::path& file, std::string_view bytes);

/// A folder that appears at once: files are written into a temporary folder beside `target`;
/// `commit` syncs and renames it. Without `commit` the destructor removes it. Throws Error
/// (Kind::surroundings).
class NewFolder {
 public:
  explicit NewFolder(const std::filesystem::path& target);
  ~NewFolder();
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  /// Where to write: an existing empty folder.
  const std::filesystem::path& path() const { return temporary_; }
  /// A file in it, written and synced. `write` calls `put` as often as it likes.
  void add(const std::string& name,
           const std::function<void(const std::function<void(std::string_view)>& put)>& write);
  void add(const std::string& name, std::string_view bytes);
  /// Syncs the folder and renames it to the target, replacing an older one (which is moved aside
  /// first, then removed).
  void commit();

 private:
  std::filesystem::path target_, temporary_;
  bool committed_ = false;
};

/// An empty folder among the system's temporary files, gone with all it holds when this ends.
/// Throws Error (Kind::surroundings).
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// A read-only view of a whole file, mapped into memory. Throws Error (Kind::input).
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& file);
  ~MappedFile();
  MappedFile(MappedFile&&) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  std::string_view bytes() const { return {data_, size_}; }

 private:
  const char* data_ = nullptr;
  size_t size_ = 0;
};

/// SHA-256 in lower-case hexadecimal, of bytes and of a file's content.
std::string sha256(std::string_view bytes);
std::string sha256_file(const std::filesystem::path& file);

/// SHA-256 of pieces that come one after the other.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(std::string_view bytes);
  std::string hex();  ///< ends the sum; call once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Holds `flock` on a file while it lives. Throws Error (Kind::surroundings) that names the process
/// which holds it already.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& file);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_ = -1;
};

/// The system calls that writing uses, one virtual function each, so that a test can make the k-th
/// one fail. `system()` is the real one; `use_calls` replaces it (tests only; nullptr restores).
class FileCalls {
 public:
  virtual ~FileCalls() = default;
  virtual int open(const char* path, int flags, unsigned mode);
  virtual int64_t write(int descriptor, const char* data, size_t size);
  virtual int fsync(int descriptor);
  virtual int close(int descriptor);
  virtual int rename(const char* from, const char* to);
  static void use(FileCalls* calls);
};

}  // namespace guerdon
