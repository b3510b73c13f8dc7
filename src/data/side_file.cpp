#include "guerdon/data/side_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "data/hdf5_library.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/log.h"

namespace guerdon::data {
namespace {
namespace fs = std::filesystem;
using hdf5::Handle;

constexpr std::string_view kSeal =
    "guerdon side file 1\n";                   // then the SHA-256 of what follows the user block
constexpr size_t kSealBytes = 512;             // HDF5's smallest user block
constexpr hsize_t kChunk = 1 << 12;            // elements
constexpr size_t kBuffered = size_t{1} << 20;  // elements of a column that wait to be written

hid_t memory_type(Element element) {
  return element == Element::int32 ? H5T_NATIVE_INT32 : H5T_NATIVE_FLOAT;
}
hid_t file_type(Element element) {
  return element == Element::int32 ? H5T_STD_I32LE : H5T_IEEE_F32LE;
}

bool is_column_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// ---- writing

struct ColumnWriter {
  Element element = Element::int32;
  Handle values;
  Handle group;
  std::vector<int64_t> offsets{0};
  std::vector<char> waiting;
  hsize_t written = 0;
};

Handle empty_list(hid_t parent, const char* name, hid_t type) {
  const hsize_t none = 0, unlimited = H5S_UNLIMITED;
  const Handle space(::H5Screate_simple(1, &none, &unlimited), ::H5Sclose);
  const Handle layout(::H5Pcreate(H5P_DATASET_CREATE), ::H5Pclose);
  ::H5Pset_chunk(layout.get(), 1, &kChunk);
  return {::H5Dcreate2(parent, name, type, space.get(), H5P_DEFAULT, layout.get(), H5P_DEFAULT),
          ::H5Dclose};
}

bool append_to(hid_t dataset, hsize_t at, hsize_t count, hid_t type, const void* data) {
  if (count == 0) return true;
  const hsize_t size = at + count;
  if (::H5Dset_extent(dataset, &size) < 0) return false;
  const Handle file_space(::H5Dget_space(dataset), ::H5Sclose);
  const Handle memory_space(::H5Screate_simple(1, &count, nullptr), ::H5Sclose);
  return ::H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, &at, nullptr, &count, nullptr) >=
             0 &&
         ::H5Dwrite(dataset, type, memory_space.get(), file_space.get(), H5P_DEFAULT, data) >= 0;
}

bool write_text_attribute(hid_t object, const char* name, const std::string& text) {
  const Handle type(::H5Tcopy(H5T_C_S1), ::H5Tclose);
  ::H5Tset_size(type.get(), text.size() + 1);
  const Handle space(::H5Screate(H5S_SCALAR), ::H5Sclose);
  const Handle attribute(
      ::H5Acreate2(object, name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), ::H5Aclose);
  return attribute.valid() && ::H5Awrite(attribute.get(), type.get(), text.c_str()) >= 0;
}

/// SHA-256 of the file after its user block, in hexadecimal; "" when it cannot be read.
std::string sum_of(int descriptor) {
  Sha256 sum;
  std::vector<char> piece(size_t{1} << 20);
  for (off_t at = kSealBytes;;) {
    const ssize_t got = ::pread(descriptor, piece.data(), piece.size(), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return {};
    if (got == 0) return sum.hex();
    sum.add({piece.data(), static_cast<size_t>(got)});
    at += got;
  }
}

}  // namespace

struct SideFileWriter::Implementation {
  fs::path target, temporary;
  Handle file;
  std::map<std::string, ColumnWriter> columns;

  ~Implementation() {
    const std::lock_guard lock(hdf5::library());
    const bool unfinished = file.valid();
    columns.clear();
    file = {};
    if (unfinished) ::unlink(temporary.c_str());
  }

  [[noreturn]] void fail(const std::string& what) const {
    fail_surroundings(target.string(), "could not write " + what);
  }

  ColumnWriter& column(const std::string& name, Element element) {
    const auto found = columns.find(name);
    GUERDON_CHECK(found != columns.end(), "side file ", target.string(), ": no column ", name);
    GUERDON_CHECK(found->second.element == element, "side file: column ", name,
                  " has another type");
    return found->second;
  }

  void append(const std::string& name, Element element, const void* data, size_t count) {
    ColumnWriter& c = column(name, element);
    const auto* bytes = static_cast<const char*>(data);
    c.waiting.insert(c.waiting.end(), bytes, bytes + 4 * count);
    c.offsets.push_back(c.offsets.back() + static_cast<int64_t>(count));
    if (c.waiting.size() >= 4 * kBuffered) flush(c);
  }

  void flush(ColumnWriter& c) const {
    const hsize_t count = c.waiting.size() / 4;
    if (!append_to(c.values.get(), c.written, count, memory_type(c.element), c.waiting.data()))
      fail("values");
    c.written += count;
    c.waiting.clear();
  }
};

SideFileWriter::SideFileWriter(const fs::path& file, const std::string& key,
                               const std::vector<SideColumn>& columns)
    : implementation_(std::make_unique<Implementation>()) {
  Implementation& self = *implementation_;
  self.target = file;
  self.temporary = file.string() + str(".tmp-", ::getpid());
  std::error_code ignored;
  if (file.has_parent_path()) fs::create_directories(file.parent_path(), ignored);
  const std::lock_guard lock(hdf5::library());
  const Handle settings(::H5Pcreate(H5P_FILE_CREATE), ::H5Pclose);
  ::H5Pset_userblock(settings.get(), kSealBytes);
  self.file = Handle(
      ::H5Fcreate(self.temporary.c_str(), H5F_ACC_TRUNC, settings.get(), H5P_DEFAULT), ::H5Fclose);
  if (!self.file.valid()) self.fail("the file");
  const Handle root(::H5Gcreate2(self.file.get(), "columns", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                    ::H5Gclose);
  if (!root.valid() || !write_text_attribute(self.file.get(), "key", key)) {
    self.fail("its header");
  }
  for (const SideColumn& column : columns) {
    GUERDON_CHECK(is_column_name(column.name), "side file: ", column.name, " cannot name a column");
    ColumnWriter writer;
    writer.element = column.element;
    writer.group =
        Handle(::H5Gcreate2(root.get(), column.name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
               ::H5Gclose);
    if (!writer.group.valid()) self.fail("column " + column.name);
    writer.values = empty_list(writer.group.get(), "values", file_type(column.element));
    if (!writer.values.valid()) self.fail("column " + column.name);
    self.columns.emplace(column.name, std::move(writer));
  }
}

SideFileWriter::~SideFileWriter() = default;

void SideFileWriter::append(const std::string& column, std::span<const int32_t> values) {
  const std::lock_guard lock(hdf5::library());
  implementation_->append(column, Element::int32, values.data(), values.size());
}

void SideFileWriter::append(const std::string& column, std::span<const float> values) {
  const std::lock_guard lock(hdf5::library());
  implementation_->append(column, Element::float32, values.data(), values.size());
}

void SideFileWriter::commit() {
  Implementation& self = *implementation_;
  const std::lock_guard lock(hdf5::library());
  for (auto& [name, column] : self.columns) {
    self.flush(column);
    const hsize_t count = column.offsets.size();
    const Handle space(::H5Screate_simple(1, &count, nullptr), ::H5Sclose);
    const Handle offsets(::H5Dcreate2(column.group.get(), "offsets", H5T_STD_I64LE, space.get(),
                                      H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                         ::H5Dclose);
    if (!offsets.valid() || ::H5Dwrite(offsets.get(), H5T_NATIVE_INT64, H5S_ALL, H5S_ALL,
                                       H5P_DEFAULT, column.offsets.data()) < 0) {
      self.fail("offsets of column " + name);
    }
  }
  self.columns.clear();
  if (::H5Fflush(self.file.get(), H5F_SCOPE_GLOBAL) < 0) self.fail("the file");
  self.file = {};
  const int descriptor = ::open(self.temporary.c_str(), O_RDWR | O_CLOEXEC);
  const std::string seal = std::string(kSeal) + (descriptor >= 0 ? sum_of(descriptor) : "");
  const bool synced =
      descriptor >= 0 &&
      ::pwrite(descriptor, seal.data(), seal.size(), 0) == static_cast<ssize_t>(seal.size()) &&
      ::fsync(descriptor) == 0;
  if (descriptor >= 0) ::close(descriptor);
  if (!synced || std::rename(self.temporary.c_str(), self.target.c_str()) != 0) {
    const std::string reason = std::strerror(errno);
    ::unlink(self.temporary.c_str());
    self.fail("the file: " + reason);
  }
}

// ---- reading

namespace {

/// Checks as it goes; everything that is wrong is an Error at the file.
class Checker {
 public:
  Checker(std::string where, uint64_t file_bytes)
      : where_(std::move(where)), file_bytes_(file_bytes) {}

  [[noreturn]] void refuse(const std::string& what) const { fail_input(where_, what); }

  /// A member of a group that is there by a hard link.
  void hard_link(hid_t parent, const char* name) const {
    const char* fault = hdf5::link_fault(parent, name);
    if (fault && std::string_view(fault) == "is missing") refuse(str("has no ", name));
    if (fault) refuse(str(name, " ", fault));
  }

  Handle group(hid_t parent, const char* name) const {
    hard_link(parent, name);
    Handle out(::H5Gopen2(parent, name, H5P_DEFAULT), ::H5Gclose);
    if (!out.valid()) refuse(str(name, " is not a group"));
    return out;
  }

  /// A one-dimensional list of an exact type, stored in the file itself without filters; its length
  /// is given.
  Handle list(hid_t parent, const char* name, hid_t type, hsize_t& length) const {
    hard_link(parent, name);
    Handle out(::H5Dopen2(parent, name, H5P_DEFAULT), ::H5Dclose);
    if (!out.valid()) refuse(str(name, " is not a dataset"));
    const Handle stored(::H5Dget_type(out.get()), ::H5Tclose);
    if (!stored.valid() || ::H5Tequal(stored.get(), type) <= 0)
      refuse(str(name, " has another element type"));
    if (const char* fault = hdf5::storage_fault(out.get())) refuse(str(name, " ", fault));
    const Handle space(::H5Dget_space(out.get()), ::H5Sclose);
    if (!space.valid() || ::H5Sget_simple_extent_ndims(space.get()) != 1)
      refuse(str(name, " is not one-dimensional"));
    if (::H5Sget_simple_extent_dims(space.get(), &length, nullptr) != 1)
      refuse(str(name, " has no length"));
    if (length > file_bytes_ / ::H5Tget_size(type)) {
      refuse(str(name, " claims ", length, " elements, more than the file can hold"));
    }
    return out;
  }

  /// The seal is looked at before HDF5 sees the file: its library is not made for damaged ones.
  void seal() const {
    const int descriptor = ::open(where_.c_str(), O_RDONLY | O_CLOEXEC);
    std::string head(kSeal.size() + 64, '\0');
    const bool there = descriptor >= 0 && ::pread(descriptor, head.data(), head.size(), 0) ==
                                              static_cast<ssize_t>(head.size());
    const std::string sum = there && head.starts_with(kSeal) ? sum_of(descriptor) : "";
    if (descriptor >= 0) ::close(descriptor);
    if (sum.empty()) refuse("is not a side file of guerdon's, or of another layout");
    if (head.substr(kSeal.size()) != sum) refuse("is damaged: its SHA-256 differs");
  }

  void key(hid_t file, const std::string& key) const {
    const Handle stored(::H5Aopen(file, "key", H5P_DEFAULT), ::H5Aclose);
    if (!stored.valid() || !is_scalar(stored.get())) refuse("has no key");
    const Handle type(::H5Aget_type(stored.get()), ::H5Tclose);
    const size_t size = type.valid() ? ::H5Tget_size(type.get()) : 0;
    const bool text = type.valid() && ::H5Tget_class(type.get()) == H5T_STRING &&
                      ::H5Tis_variable_str(type.get()) == 0;
    if (!text || size == 0 || size > 65'536) refuse("its key is not a text");
    std::string value(size, '\0');
    if (::H5Aread(stored.get(), type.get(), value.data()) < 0) refuse("its key cannot be read");
    value.resize(std::strlen(value.c_str()));
    if (value != key) refuse("was made from other data or settings");
  }

 private:
  static bool is_scalar(hid_t attribute) {
    const Handle space(::H5Aget_space(attribute), ::H5Sclose);
    return space.valid() && ::H5Sget_simple_extent_npoints(space.get()) == 1;
  }

  std::string where_;
  uint64_t file_bytes_;
};

struct ColumnReader {
  Element element = Element::int32;
  Handle values;
  std::vector<int64_t> offsets;
};

}  // namespace

struct SideFile::Implementation {
  fs::path path;
  Handle file;
  std::map<std::string, ColumnReader> columns;

  ~Implementation() {
    const std::lock_guard lock(hdf5::library());
    columns.clear();
    file = {};
  }

  const ColumnReader& column(const std::string& name) const {
    const auto found = columns.find(name);
    GUERDON_CHECK(found != columns.end(), "side file ", path.string(), ": no column ", name);
    return found->second;
  }

  template <class Number>
  std::vector<Number> row(const std::string& name, Element element, int64_t row) const {
    const ColumnReader& c = column(name);
    GUERDON_CHECK(c.element == element, "side file: column ", name, " has another type");
    GUERDON_CHECK(row >= 0 && row + 1 < static_cast<int64_t>(c.offsets.size()), "side file: row ",
                  row, " of column ", name);
    const auto index = static_cast<size_t>(row);
    const int64_t begin = c.offsets[index], end = c.offsets[index + 1];
    std::vector<Number> out(static_cast<size_t>(end - begin));
    const std::lock_guard lock(hdf5::library());
    if (!hdf5::read_list(c.values.get(), static_cast<hsize_t>(begin), out.size(),
                         memory_type(element), out.data())) {
      fail_input(path.string(), str("row ", row, " of column ", name, " cannot be read"));
    }
    return out;
  }
};

SideFile::SideFile(const fs::path& path, const std::string& key,
                   const std::vector<SideColumn>& columns)
    : implementation_(std::make_unique<Implementation>()) {
  Implementation& self = *implementation_;
  self.path = path;
  std::error_code error;
  const uint64_t bytes = fs::file_size(path, error);
  if (error) fail_input(path.string(), "cannot be read: " + error.message());
  const Checker check(path.string(), bytes);
  check.seal();

  const std::lock_guard lock(hdf5::library());
  // A bad file throws below while the lock is held: the handles must be gone by then, so they are
  // local until all is well.
  Handle file(::H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), ::H5Fclose);
  if (!file.valid()) check.refuse("is not an HDF5 file, or a damaged one");
  check.key(file.get(), key);
  const Handle root = check.group(file.get(), "columns");
  std::map<std::string, ColumnReader> readers;
  for (const SideColumn& column : columns) {
    GUERDON_CHECK(is_column_name(column.name), "side file: ", column.name, " cannot name a column");
    const Handle group = check.group(root.get(), column.name.c_str());
    ColumnReader reader;
    reader.element = column.element;
    hsize_t total = 0, count = 0;
    reader.values = check.list(group.get(), "values", file_type(column.element), total);
    const Handle offsets = check.list(group.get(), "offsets", H5T_STD_I64LE, count);
    if (count == 0) check.refuse("column " + column.name + " has no offsets");
    reader.offsets.resize(count);
    if (!hdf5::read_list(offsets.get(), 0, count, H5T_NATIVE_INT64, reader.offsets.data())) {
      check.refuse("offsets of column " + column.name + " cannot be read");
    }
    const bool in_order = reader.offsets.front() == 0 &&
                          std::is_sorted(reader.offsets.begin(), reader.offsets.end()) &&
                          reader.offsets.back() == static_cast<int64_t>(total);
    if (!in_order) check.refuse("offsets of column " + column.name + " are not in order");
    readers.emplace(column.name, std::move(reader));
  }
  self.columns = std::move(readers);
  self.file = std::move(file);
}

SideFile::~SideFile() = default;
SideFile::SideFile(SideFile&&) noexcept = default;
SideFile& SideFile::operator=(SideFile&&) noexcept = default;

int64_t SideFile::rows(const std::string& column) const {
  return static_cast<int64_t>(implementation_->column(column).offsets.size()) - 1;
}
std::vector<int32_t> SideFile::integers(const std::string& column, int64_t row) const {
  return implementation_->row<int32_t>(column, Element::int32, row);
}
std::vector<float> SideFile::floats(const std::string& column, int64_t row) const {
  return implementation_->row<float>(column, Element::float32, row);
}

std::unique_ptr<SideFile> open_cache(const fs::path& file, const std::string& key,
                                     const std::vector<SideColumn>& columns) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return nullptr;
  try {
    return std::make_unique<SideFile>(file, key, columns);
  } catch (const Error& error) {
    if (error.kind != Kind::input) throw;
    log::warning(std::string(error.what()) + "; it is deleted and made anew");
    fs::remove(file, ignored);
    return nullptr;
  }
}

}  // namespace guerdon::data
