/// Private to `data`: what those who use the HDF5 library share. Only they see its header.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <utility>

namespace guerdon::data::hdf5 {

/// The library is not built for threads: one call at a time, under this lock. Its own messages are
/// silenced, ours say what matters, and plug-ins (filters that a file names) are never loaded.
std::mutex& library();

/// An HDF5 id that is closed by the function that belongs to its kind.
class Handle {
 public:
  Handle() = default;
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  bool valid() const { return id_ >= 0; }
  hid_t get() const { return id_; }

 private:
  hid_t id_ = -1;
  herr_t (*close_)(hid_t) = nullptr;
};

/// Why a member of a group must not be opened: "is missing", "is a link out of its place"; nullptr
/// when it is there by a hard link.
const char* link_fault(hid_t parent, const char* name);

/// Why a dataset's values must not be read: they lie in another file, or go through filters;
/// nullptr when they lie in the file itself.
const char* storage_fault(hid_t dataset);

/// The elements [at, at + count) of a list. False when the library could not.
bool read_list(hid_t dataset, hsize_t at, hsize_t count, hid_t type, void* data);

}  // namespace guerdon::data::hdf5
