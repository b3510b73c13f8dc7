#include "data/hdf5_library.h"

namespace guerdon::data::hdf5 {

std::mutex& library() {
  static std::mutex mutex;
  static const bool prepared = [] {
    ::H5open();
    ::H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    ::H5PLset_loading_state(0);
    return true;
  }();
  (void)prepared;
  return mutex;
}

const char* link_fault(hid_t parent, const char* name) {
  H5L_info_t link{};
  if (::H5Lget_info(parent, name, &link, H5P_DEFAULT) < 0) return "is missing";
  return link.type == H5L_TYPE_HARD ? nullptr : "is a link out of its place";
}

const char* storage_fault(hid_t dataset) {
  const Handle layout(::H5Dget_create_plist(dataset), ::H5Pclose);
  if (!layout.valid()) return "has no layout";
  if (::H5Pget_external_count(layout.get()) != 0) return "lies in another file";
  const H5D_layout_t kind = ::H5Pget_layout(layout.get());
  if (kind != H5D_CHUNKED && kind != H5D_CONTIGUOUS && kind != H5D_COMPACT)
    return "has a foreign layout";
  return ::H5Pget_nfilters(layout.get()) == 0 ? nullptr : "uses filters";
}

bool read_list(hid_t dataset, hsize_t at, hsize_t count, hid_t type, void* data) {
  if (count == 0) return true;
  const Handle file_space(::H5Dget_space(dataset), ::H5Sclose);
  const Handle memory_space(::H5Screate_simple(1, &count, nullptr), ::H5Sclose);
  return ::H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, &at, nullptr, &count, nullptr) >=
             0 &&
         ::H5Dread(dataset, type, memory_space.get(), file_space.get(), H5P_DEFAULT, data) >= 0;
}

}  // namespace guerdon::data::hdf5
