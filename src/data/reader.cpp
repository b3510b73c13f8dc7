#include "guerdon/data/reader.h"

#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "data/byte_source.h"
#include "guerdon/base/log.h"

namespace guerdon::data {
namespace {
namespace fs = std::filesystem;
using std::string_view_literals::operator""sv;

constexpr int64_t kRowsBeforeShare = 1000;  // the share of skipped rows means little before
constexpr double kMaxSkipped = 0.01;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string wide_encoding(std::string_view start) {
  if (start.starts_with("\xff\xfe\0\0"sv) || start.starts_with("\0\0\xfe\xff"sv)) return "UTF-32";
  if (start.starts_with("\xff\xfe"sv) || start.starts_with("\xfe\xff"sv)) return "UTF-16";
  // Without a byte order mark, a first ASCII character shows where the zero bytes stand.
  if (start.size() >= 4 && start[0] == 0 && start[1] == 0) return "UTF-32";
  if (start.size() >= 4 && start[0] != 0 && start[1] == 0)
    return start[2] == 0 ? "UTF-32" : "UTF-16";
  if (start.size() >= 2 && start[0] == 0 && start[1] != 0) return "UTF-16";
  return {};
}

/// Finds where a JSON value ends without building it: strings and brackets, nothing else. What it
/// accepts may still be malformed; the parser says so.
class ValueEnd {
 public:
  /// Takes one more character of the value. True when the value ended *before* this character.
  bool ends_before(char c) {
    if (done_) return true;
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
        done_ = depth_ == 0;
      }
      return false;
    }
    if (depth_ == 0 && started_ && (is_blank(c) || c == ',' || c == ']' || c == '}')) return true;
    started_ = true;
    if (c == '"') {
      in_string_ = true;
    } else if (c == '[' || c == '{') {
      ++depth_;
    } else if (c == ']' || c == '}') {
      done_ = --depth_ <= 0;
    }
    return false;
  }
  /// True after the value's last character, for values that show their own end (not for numbers,
  /// true, false, null).
  bool done() const { return done_; }

 private:
  int64_t depth_ = 0;
  bool in_string_ = false, escaped_ = false, started_ = false, done_ = false;
};

}  // namespace

struct RowReader::Implementation {
  Implementation(std::unique_ptr<ByteSource> bytes, std::string name, const ReadOptions& options)
      : source(std::move(bytes)),
        name(std::move(name)),
        options(options),
        buffer(size_t{64} << 10) {
    begin();
  }

  std::unique_ptr<ByteSource> source;
  std::string name;
  ReadOptions options;
  std::vector<char> buffer;
  size_t at = 0, size = 0;  // what is left of the buffer
  uint64_t offset = 0;      // of buffer[at] in the decompressed file
  int64_t line = 1;         // of buffer[at]
  bool array = false, array_ended = false, first_value = true;
  int64_t rows = 0, skipped = 0;
  std::string text;  // of the present row

  std::string place(int64_t at_line) const { return str(name, ":", at_line); }

  bool fill() {
    if (at < size) return true;
    at = 0;
    size = source->read(buffer.data(), buffer.size());
    return size > 0;
  }
  void take() {
    if (buffer[at] == '\n') ++line;
    ++at;
    ++offset;
  }

  // Encoding, byte order mark, array or lines.
  void begin() {
    while (size < 4) {
      const size_t got = source->read(buffer.data() + size, buffer.size() - size);
      if (got == 0) break;
      size += got;
    }
    const std::string_view start(buffer.data(), std::min<size_t>(size, 4));
    if (const std::string encoding = wide_encoding(start); !encoding.empty()) {
      fail_input(place(1), "this is " + encoding + "; guerdon reads UTF-8");
    }
    if (start.starts_with("\xef\xbb\xbf")) at = 3, offset = 3;
    while (fill() && is_blank(buffer[at])) take();
    if (!fill() || buffer[at] != '[') return;
    if (!is_json_name(name)) {
      fail_input(place(line), "this is a JSON array; JSON lines are expected",
                 "rename it to .json");
    }
    take();
    array = true;
  }

  // The next line that is not blank into `text`; false at the end of the file. Bytes past the limit
  // are passed over.
  bool next_line(Row& row, bool& too_long) {
    for (;;) {
      if (!fill()) return false;
      text.clear();
      too_long = false;
      row.begin = offset;
      row.line = line;
      while (fill()) {
        const char* start = buffer.data() + at;
        const auto* newline =
            static_cast<const char*>(std::char_traits<char>::find(start, size - at, '\n'));
        const size_t length = newline ? static_cast<size_t>(newline - start) : size - at;
        too_long = too_long || text.size() + length > options.max_line_bytes;
        if (!too_long) text.append(start, length);
        at += length;
        offset += length;
        if (newline) {
          take();
          break;
        }
      }
      row.end = offset;
      if (!text.empty() && text.back() == '\r') text.pop_back();
      if (too_long || text.find_first_not_of(" \t\r") != std::string::npos) return true;
    }
  }

  // The next value of the array into `text`; false after its end.
  bool next_value(Row& row) {
    const auto skip_blanks = [&] {
      while (fill() && is_blank(buffer[at])) take();
      if (!fill()) fail_input(place(line), "the JSON array ends early");
    };
    if (array_ended) return false;
    skip_blanks();
    if (buffer[at] == ']' || (!first_value && buffer[at] != ',')) {
      if (buffer[at] != ']')
        fail_input(place(line), "a comma or ] is expected between the rows of a JSON array");
      take();
      while (fill()) {
        if (!is_blank(buffer[at]))
          fail_input(place(line), "there is something after the JSON array");
        take();
      }
      array_ended = true;
      return false;
    }
    if (!first_value) {
      take();
      skip_blanks();
    }
    first_value = false;
    text.clear();
    row.begin = offset;
    row.line = line;
    if (buffer[at] == ',' || buffer[at] == ']' || buffer[at] == '}') {
      fail_input(place(line), str("a row is expected, got ", show({&buffer[at], 1})));
    }
    ValueEnd end;
    while (fill() && !end.ends_before(buffer[at])) {
      if (text.size() == options.max_value_bytes) {
        fail_input(place(row.line),
                   str("this row has more than ", options.max_value_bytes, " bytes"));
      }
      text.push_back(buffer[at]);
      take();
      if (end.done()) break;
    }
    row.end = offset;
    return true;
  }

  void check_share(bool at_end) const {
    const bool enough = at_end || rows >= kRowsBeforeShare;
    if (skipped > 0 && enough &&
        static_cast<double>(skipped) > kMaxSkipped * static_cast<double>(rows)) {
      fail_input(name, str(skipped, " of ", rows, " rows were skipped, more than 1 %"),
                 "mend the file, or find out with data.on_bad_row=error what is wrong");
    }
  }

  void reject(const Error& error) {
    if (options.on_bad_row == OnBadRow::error) throw Error(error);
    ++skipped;
    log::warning(std::string("skipped: ") + error.what());
    check_share(false);
  }

  std::optional<Row> next() {
    Row row;
    for (;;) {
      bool too_long = false;
      if (!(array ? next_value(row) : next_line(row, too_long))) break;
      ++rows;
      const std::string where = place(row.line);
      try {
        if (too_long) {
          fail_input(where, str("this line has more than ", options.max_line_bytes, " bytes"));
        }
        Json value = parse_json(text, name, static_cast<size_t>(row.line),
                                {.bytes = options.max_value_bytes});
        if (!value.is_object()) {
          fail_input(where, str("a row must be a JSON object, got ", value.type_name()));
        }
        row.fields = Fields(std::move(value), where);
        return row;
      } catch (const Error& error) {
        reject(error);
      }
    }
    if (rows == 0) fail_input(name, "has no rows");
    check_share(true);
    return std::nullopt;
  }
};

RowReader::RowReader(const fs::path& file, const ReadOptions& options)
    : RowReader(open_bytes(file), file.string(), options) {}
RowReader::RowReader(std::unique_ptr<ByteSource> source, const std::string& name,
                     const ReadOptions& options)
    : implementation_(std::make_unique<Implementation>(std::move(source), name, options)) {}
RowReader::~RowReader() = default;
RowReader::RowReader(RowReader&&) noexcept = default;

std::optional<Row> RowReader::next() { return implementation_->next(); }
void RowReader::reject(const Error& error) { implementation_->reject(error); }
int64_t RowReader::rows() const { return implementation_->rows; }
int64_t RowReader::skipped() const { return implementation_->skipped; }

bool is_json_name(const fs::path& file) {
  return file.extension() == ".gz" ? file.stem().extension() == ".json"
                                   : file.extension() == ".json";
}

}  // namespace guerdon::data
