/// Numbers that belong to rows of data, kept in an HDF5 file: token ids, reference
/// log-probabilities. May exceed memory.
///
/// Layout 1: a user block of 512 bytes with "guerdon side file 1" and the SHA-256 of the rest; the
/// attribute "key" at the root; for each column a group "/columns/NAME" with the datasets "offsets"
/// [rows + 1] int64 and "values" [total] int32 or float32, neither compressed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace guerdon::data {

enum class Element { int32, float32 };

/// A column: one list of numbers a row, of any length.
struct SideColumn {
  std::string name;  ///< a-z, 0-9 and _
  Element element = Element::int32;
};

/// Writes a side file, which appears at `commit`; without it nothing is left. For one thread.
/// Throws Error (Kind::surroundings) when it cannot write.
class SideFileWriter {
 public:
  /// `key` says what the numbers were made from (fingerprints of data and model, options); a reader
  /// with another key refuses.
  SideFileWriter(const std::filesystem::path& file, const std::string& key,
                 const std::vector<SideColumn>& columns);
  ~SideFileWriter();
  SideFileWriter(const SideFileWriter&) = delete;
  SideFileWriter& operator=(const SideFileWriter&) = delete;

  /// The next row of a column.
  void append(const std::string& column, std::span<const int32_t> values);
  void append(const std::string& column, std::span<const float> values);
  void commit();

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

/// Reads rows of a side file. Any number of threads may use one (they take turns). Everything is
/// checked before it is used: the checksum (before the HDF5 library sees the file), the key, hard
/// links only, no external or virtual storage, no filters and no plug-ins, element types, sizes
/// against the file's size, offsets in order. Throws Error (Kind::input).
class SideFile {
 public:
  SideFile(const std::filesystem::path& path, const std::string& key,
           const std::vector<SideColumn>& columns);
  ~SideFile();
  SideFile(SideFile&&) noexcept;
  SideFile& operator=(SideFile&&) noexcept;

  int64_t rows(const std::string& column) const;
  std::vector<int32_t> integers(const std::string& column, int64_t row) const;
  std::vector<float> floats(const std::string& column, int64_t row) const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

/// Opens a cache. nullptr when there is none; one that is damaged or was made from something else
/// is a warning, is deleted, and gives nullptr: the caller makes it anew.
std::unique_ptr<SideFile> open_cache(const std::filesystem::path& file, const std::string& key,
                                     const std::vector<SideColumn>& columns);

}  // namespace guerdon::data
