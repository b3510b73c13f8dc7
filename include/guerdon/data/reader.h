/// Rows of data files: JSON lines and JSON arrays, plain or gzip.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "guerdon/base/error.h"
#include "guerdon/data/example.h"

namespace guerdon::data {

class ByteSource;

/// What becomes of a row that cannot be read.
enum class OnBadRow { error, skip };

struct ReadOptions {
  OnBadRow on_bad_row = OnBadRow::error;  ///< skip: counted, and more than 1 % skipped is an error
  size_t max_line_bytes = size_t{8} << 20;    ///< a line of JSON lines, after decompression
  size_t max_value_bytes = size_t{64} << 20;  ///< a value of a JSON array, below 4 GiB
};

/// A row as the file has it.
struct Row {
  Fields fields;                ///< its where() is "FILE:LINE"
  int64_t line = 0;             ///< from 1
  uint64_t begin = 0, end = 0;  ///< its bytes in the decompressed file
};

/// Reads a file row by row, in memory of the size of one row.
///
/// JSON lines: LF or CRLF, blank lines, and a UTF-8 byte order mark at the start are fine. A file
/// named `.json` (or
/// `.json.gz`) whose first character is `[` is a JSON array of rows. The first bytes decide whether
/// a file is gzip, not its name. Throws Error (Kind::input), "FILE:LINE: ...": malformed row, row
/// that is no object, UTF-16, an array under another name, a damaged gzip stream, no rows at all.
class RowReader {
 public:
  explicit RowReader(const std::filesystem::path& file, const ReadOptions& options = {});
  /// From bytes that someone else opened; `name` is the file's name in errors and tells arrays from
  /// lines.
  RowReader(std::unique_ptr<ByteSource> source, const std::string& name,
            const ReadOptions& options = {});
  ~RowReader();
  RowReader(RowReader&&) noexcept;
  RowReader& operator=(RowReader&&) = delete;

  /// The next good row; nullopt at the end.
  std::optional<Row> next();

  /// The caller found the row that `next` gave to be bad: throws `error` again, or counts it as
  /// skipped, as `on_bad_row` says. Also throws when more than 1 % of the rows were skipped (looked
  /// at after 1,000 rows and at the end).
  void reject(const Error& error);

  int64_t rows() const;     ///< rows read so far, skipped ones included
  int64_t skipped() const;  ///< rows left out so far

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

/// Whether the file's name says that it may hold a JSON array: `.json`, or `.json.gz`.
bool is_json_name(const std::filesystem::path& file);

}  // namespace guerdon::data
