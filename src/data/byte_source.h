/// Bytes of a data file, one after the other; gzip is taken off where the first bytes say so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace guerdon::data {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Up to `size` bytes; 0 only at the end.
  virtual size_t read(char* out, size_t size) = 0;
};

/// The bytes of a file as they are. Throws Error (Kind::input) when it cannot be read or is a
/// folder.
std::unique_ptr<ByteSource> open_plain(const std::filesystem::path& file);

/// Takes gzip off a stream (several members one after the other are one stream, as for gzip).
/// Checksum and length are checked, a stream that ends early is an error, and so is one that grows
/// more than 1,000-fold past its first 64 MiB. `where` names the file in errors (Kind::input).
std::unique_ptr<ByteSource> gunzip(std::unique_ptr<ByteSource> compressed,
                                   const std::string& where);

/// The first bytes decide whether the file is gzip; a name that says otherwise is a warning in the
/// log.
std::unique_ptr<ByteSource> open_bytes(const std::filesystem::path& file, bool* was_gzip = nullptr);

/// Passes a stream through and shows every piece to `seen`.
std::unique_ptr<ByteSource> tee(std::unique_ptr<ByteSource> source,
                                std::function<void(const char*, size_t)> seen);

/// Bytes that are in memory already.
std::unique_ptr<ByteSource> bytes_of(std::string text);

}  // namespace guerdon::data
