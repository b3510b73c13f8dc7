// Side files: what passes the checks can be read, or is refused. A changed file fails its checksum,
// so that HDF5's own library (which does not stand up to damaged files) never sees it.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>

#include "guerdon/base/error.h"
#include "guerdon/data/side_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace guerdon;
  static const std::string path = (std::filesystem::temp_directory_path() /
                                   ("guerdon-fuzz-" + std::to_string(::getpid()) + ".h5"))
                                      .string();
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool written = file >= 0 && ::write(file, bytes, size) == static_cast<ssize_t>(size);
  ::close(file);
  if (!written) return 0;
  try {
    const data::SideFile side(path, "key", {{"ids", data::Element::int32}});
    for (int64_t row = 0; row < std::min<int64_t>(side.rows("ids"), 100); ++row)
      side.integers("ids", row);
  } catch (const Error& error) {
    if (error.kind == Kind::bug) throw;
  }
  ::unlink(path.c_str());
  return 0;
}
