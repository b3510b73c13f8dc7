/// The rows of one file at random access, in memory of 12 bytes a row: the file may be larger than
/// memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>

#include "guerdon/data/formats.h"
#include "guerdon/data/reader.h"

namespace guerdon::data {

/// Opening reads the file once, row by row: every row is parsed and understood, what is malformed
/// stops or is counted, and the place of each usable row is kept. Later a row is read from its
/// place. A compressed file is spooled, decompressed, to an unnamed temporary file (in TMPDIR), and
/// so is what can be read only once, a pipe.
class DataSource {
 public:
  struct Options {
    ReadOptions read;
    FormatOptions format;
  };

  /// Throws Error (Kind::input), as RowReader and RowFormat do; also when no usable row is left.
  explicit DataSource(const std::filesystem::path& file, const Options& options = {});
  ~DataSource();
  DataSource(DataSource&&) noexcept;
  DataSource& operator=(DataSource&&) noexcept;

  int64_t size() const;  ///< usable rows, > 0
  /// Row `row` in [0, size). Safe from any number of threads. Throws Error (Kind::input) when the
  /// file was changed or cut since it was opened.
  Example at(int64_t row) const;

  DatasetType type() const;
  bool conversational() const;
  std::string form() const;
  const FormatCounts& counts() const;
  int64_t skipped() const;
  const std::filesystem::path& file() const;
  /// SHA-256 over the file's name, its decompressed size and content, and the options that decide
  /// what its rows mean: the same fingerprint, the same examples.
  const std::string& fingerprint() const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

/// Refuses data that cannot serve: Error (Kind::input) "FILE: holds prompt_only: prompt; preference
/// pairs are needed", with needed = "preference pairs are".
void require_type(const DataSource& source, std::initializer_list<DatasetType> accepted,
                  const std::string& needed);

}  // namespace guerdon::data
