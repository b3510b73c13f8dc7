#include <algorithm>

#include "data/hdf5_library.h"
#include "data/vector_file.h"
#include "guerdon/base/error.h"

namespace guerdon::data {
namespace {
namespace fs = std::filesystem;
using hdf5::Handle;

/// Datasets of an HDF5 file, at its root or in groups ("text/train"). Links that leave the file,
/// foreign storage and filters are refused before anything is read.
class Hdf5Vectors final : public VectorFile {
 public:
  explicit Hdf5Vectors(const fs::path& path) : path_(path.string()) {
    const std::lock_guard lock(hdf5::library());
    file_ = Handle(::H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), ::H5Fclose);
    if (!file_.valid()) fail_input(path_, "is not an HDF5 file, or is cut off or damaged");
  }
  ~Hdf5Vectors() override {
    const std::lock_guard lock(hdf5::library());
    dataset_ = {};
    file_ = {};
  }
  Hdf5Vectors(const Hdf5Vectors&) = delete;
  Hdf5Vectors& operator=(const Hdf5Vectors&) = delete;

  std::vector<std::string> keys() override {
    const std::lock_guard lock(hdf5::library());
    std::vector<std::string> out;
    const auto add = [](hid_t, const char* name, const H5L_info_t*, void* names) -> herr_t {
      static_cast<std::vector<std::string>*>(names)->emplace_back(name);
      return 0;
    };
    hsize_t at = 0;
    ::H5Literate(file_.get(), H5_INDEX_NAME, H5_ITER_INC, &at, add, &out);
    return out;
  }

  Shape shape(const std::string& key) override {
    const std::lock_guard lock(hdf5::library());
    open(key);
    return shape_;
  }

  void read(const std::string& key, int64_t row, std::span<float> out) override {
    const std::lock_guard lock(hdf5::library());
    open(key);
    const hsize_t width = out.size();
    const hsize_t begin[] = {static_cast<hsize_t>(row), 0}, count[] = {1, width};
    const int skipped = shape_.matrix ? 0 : 1;
    const Handle file_space(::H5Dget_space(dataset_.get()), ::H5Sclose);
    const Handle memory_space(::H5Screate_simple(1, &width, nullptr), ::H5Sclose);
    const bool done = ::H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, begin + skipped,
                                            nullptr, count + skipped, nullptr) >= 0 &&
                      ::H5Dread(dataset_.get(), H5T_NATIVE_FLOAT, memory_space.get(),
                                file_space.get(), H5P_DEFAULT, out.data()) >= 0;
    if (!done) refuse(key, str("row ", row, " cannot be read: the file is cut off or damaged"));
  }

 private:
  [[noreturn]] void refuse(const std::string& key, const std::string& what) const {
    fail_input(path_ + ": tensor " + show(key), what);
  }

  // A member of `parent` as it lies in the file.
  Handle member(hid_t parent, const std::string& name, const std::string& key) const {
    if (const char* fault = hdf5::link_fault(parent, name.c_str())) refuse(key, fault);
    Handle out(::H5Oopen(parent, name.c_str(), H5P_DEFAULT), ::H5Oclose);
    if (!out.valid()) refuse(key, "cannot be opened: the file is cut off or damaged");
    return out;
  }

  void open(const std::string& key) {
    if (dataset_.valid() && key == key_) return;
    Handle at;
    for (size_t begin = 0; begin <= key.size();) {
      const size_t end = std::min(key.find('/', begin), key.size());
      const std::string name = key.substr(begin, end - begin);
      if (name.empty() || name == "." || name == ".." || name.find('\0') != std::string::npos)
        refuse(key, "is no name of a dataset");
      const hid_t parent = begin == 0 ? file_.get() : at.get();
      if (begin > 0 && ::H5Iget_type(parent) != H5I_GROUP) refuse(key, "is missing");
      at = member(parent, name, key);
      begin = end + 1;
    }
    if (::H5Iget_type(at.get()) != H5I_DATASET) refuse(key, "is a group, not a dataset");
    const Shape shape = checked_shape(at.get(), key);
    dataset_ = std::move(at);
    shape_ = shape;
    key_ = key;
  }

  Shape checked_shape(hid_t dataset, const std::string& key) const {
    const Handle type(::H5Dget_type(dataset), ::H5Tclose);
    const size_t bytes = type.valid() ? ::H5Tget_size(type.get()) : 0;
    if (!type.valid() || ::H5Tget_class(type.get()) != H5T_FLOAT || bytes > 8)
      refuse(key, "must hold floating point numbers of 16, 32 or 64 bits");
    if (const char* fault = hdf5::storage_fault(dataset)) refuse(key, fault);
    const Handle space(::H5Dget_space(dataset), ::H5Sclose);
    const int dimensions = space.valid() ? ::H5Sget_simple_extent_ndims(space.get()) : -1;
    hsize_t sizes[2] = {0, 0};
    if (dimensions < 1 || dimensions > 2 ||
        ::H5Sget_simple_extent_dims(space.get(), sizes, nullptr) != dimensions)
      refuse(key, "must be a vector [width] or a matrix [rows, width]");
    const bool matrix = dimensions == 2;
    const hsize_t width = sizes[dimensions - 1], rows = matrix ? sizes[0] : 1;
    if (width == 0 || width > static_cast<hsize_t>(kMaxVectorWidth) || rows > (hsize_t{1} << 48))
      refuse(key, str("has the shape [", rows, ", ", width, "]"));
    return {
        .rows = static_cast<int64_t>(rows), .width = static_cast<int64_t>(width), .matrix = matrix};
  }

  std::string path_, key_;  // the open dataset's key
  Handle file_, dataset_;
  Shape shape_;
};

}  // namespace

std::unique_ptr<VectorFile> open_hdf5_vectors(const fs::path& file) {
  return std::make_unique<Hdf5Vectors>(file);
}

}  // namespace guerdon::data
