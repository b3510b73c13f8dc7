#include "guerdon/data/source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "data/byte_source.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"

namespace guerdon::data {
namespace {
namespace fs = std::filesystem;

/// An open file that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int descriptor = -1) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

/// A file without a name, which vanishes with its descriptor.
Descriptor unnamed_file() {
  std::string path = (fs::temp_directory_path() / "guerdon-spool-XXXXXX").string();
  Descriptor file(::mkostemp(path.data(), O_CLOEXEC));
  if (file.get() < 0) {
    fail_surroundings(path, std::string("could not create the file: ") + std::strerror(errno),
                      "TMPDIR names the folder for decompressed data");
  }
  ::unlink(path.c_str());
  return file;
}

void write_all(int descriptor, const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(descriptor, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      fail_surroundings("decompressed data in " + fs::temp_directory_path().string(),
                        std::string("could not write: ") + std::strerror(errno));
    }
    bytes += written;
    size -= static_cast<size_t>(written);
  }
}

}  // namespace

struct DataSource::Implementation {
  fs::path file;
  Options options;
  Descriptor bytes;       // the file itself, or a copy (decompressed, or out of a pipe)
  struct stat opened {};  // of the file itself
  bool spooled = false;
  RowFormat format;
  int64_t skipped = 0;
  std::string fingerprint;
  // A row's place. Its line is not kept for each row: only where the distance between row and line
  // changes.
  std::vector<uint64_t> begins;
  std::vector<uint32_t> sizes;
  std::vector<std::pair<int64_t, int64_t>> lines;  // from this row on, line = row + second

  Implementation(const fs::path& path, const Options& given)
      : file(path), options(given), format(given.format) {}

  void scan() {
    std::unique_ptr<ByteSource> source = open_bytes(file, &spooled);
    // What can be read only once (a pipe) is kept as what was decompressed is.
    spooled = spooled || !fs::is_regular_file(file);
    if (spooled) {
      bytes = unnamed_file();
    } else {
      bytes = Descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    }
    if (::stat(file.c_str(), &opened) != 0 || bytes.get() < 0) {
      fail_input(file.string(), std::string("cannot be read: ") + std::strerror(errno));
    }
    Sha256 sum;
    uint64_t size = 0;
    source = tee(std::move(source), [&](const char* piece, size_t count) {
      sum.add({piece, count});
      size += count;
      if (spooled) write_all(bytes.get(), piece, count);
    });

    RowReader reader(std::move(source), file.string(), options.read);
    while (const auto row = reader.next()) {
      try {
        if (format.read(*row)) add(*row);
      } catch (const Error& error) {
        reader.reject(error);
      }
    }
    if (begins.empty()) fail_input(file.string(), "has no usable rows");
    begins.shrink_to_fit();
    sizes.shrink_to_fit();
    skipped = reader.skipped();
    format.warn(file.string());
    fingerprint = sha256(settings_text(size, sum.hex()));
  }

  std::string settings_text(uint64_t size, const std::string& content) const {
    Json text = {{"name", file.filename().string()},
                 {"size", size},
                 {"sha256", content},
                 {"columns", options.format.columns},
                 {"transcripts", options.format.transcripts},
                 {"skip", options.read.on_bad_row == OnBadRow::skip},
                 {"max_line_bytes", options.read.max_line_bytes}};
    return text.dump();
  }

  void add(const Row& row) {
    const auto index = static_cast<int64_t>(begins.size());
    begins.push_back(row.begin);
    sizes.push_back(static_cast<uint32_t>(row.end - row.begin));
    if (lines.empty() || index + lines.back().second != row.line)
      lines.emplace_back(index, row.line - index);
  }

  int64_t line_of(int64_t row) const {
    const auto after =
        std::upper_bound(lines.begin(), lines.end(), row,
                         [](int64_t r, const auto& entry) { return r < entry.first; });
    return row + std::prev(after)->second;
  }

  std::string read(size_t row) const {
    const uint64_t begin = begins[row];
    std::string out(sizes[row], '\0');
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t got = ::pread(bytes.get(), out.data() + done, out.size() - done,
                                  static_cast<off_t>(begin + done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) fail_input(file.string(), "was cut or cannot be read any more");
      done += static_cast<size_t>(got);
    }
    return out;
  }

  void check_unchanged() const {
    if (spooled) return;  // the copy is ours
    struct stat now {};
    const bool same = ::fstat(bytes.get(), &now) == 0 && now.st_size == opened.st_size &&
                      now.st_mtim.tv_sec == opened.st_mtim.tv_sec &&
                      now.st_mtim.tv_nsec == opened.st_mtim.tv_nsec;
    if (!same) fail_input(file.string(), "was changed while it was in use");
  }
};

DataSource::DataSource(const fs::path& file, const Options& options)
    : implementation_(std::make_unique<Implementation>(file, options)) {
  implementation_->scan();
}
DataSource::~DataSource() = default;
DataSource::DataSource(DataSource&&) noexcept = default;
DataSource& DataSource::operator=(DataSource&&) noexcept = default;

int64_t DataSource::size() const { return static_cast<int64_t>(implementation_->begins.size()); }

Example DataSource::at(int64_t row) const {
  GUERDON_CHECK(row >= 0 && row < size(), "DataSource::at: row ", row, " of ", size());
  const Implementation& self = *implementation_;
  self.check_unchanged();
  const std::string text = self.read(static_cast<size_t>(row));
  const int64_t line = self.line_of(row);
  const std::string name = self.file.string();
  Json value = parse_json(text, name, static_cast<size_t>(line),
                          {.bytes = self.options.read.max_value_bytes});
  RowFormat format =
      self.format;  // knows the file's form; its counts stay those of the first reading
  return format.read({Fields(std::move(value), str(name, ":", line)), line, 0, 0}).value();
}

DatasetType DataSource::type() const { return implementation_->format.type(); }
bool DataSource::conversational() const { return implementation_->format.conversational(); }
std::string DataSource::form() const { return implementation_->format.form(); }
const FormatCounts& DataSource::counts() const { return implementation_->format.counts(); }
int64_t DataSource::skipped() const { return implementation_->skipped; }
const fs::path& DataSource::file() const { return implementation_->file; }
const std::string& DataSource::fingerprint() const { return implementation_->fingerprint; }

void require_type(const DataSource& source, std::initializer_list<DatasetType> accepted,
                  const std::string& needed) {
  if (std::find(accepted.begin(), accepted.end(), source.type()) != accepted.end()) return;
  fail_input(source.file().string(), "holds " + source.form() + "; " + needed + " needed",
             "data.columns=[\"OURS=THEIRS\"] renames columns");
}

}  // namespace guerdon::data
