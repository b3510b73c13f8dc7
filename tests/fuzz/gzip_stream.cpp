// Compressed data: decompressed or refused.
#include <cstdint>
#include <string>
#include <vector>

#include "data/byte_source.h"
#include "guerdon/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace guerdon;
  try {
    const auto source = data::gunzip(
        data::bytes_of(std::string(reinterpret_cast<const char*>(bytes), size)), "x.gz");
    std::vector<char> out(size_t{1} << 16);
    while (source->read(out.data(), out.size()) > 0) {
    }
  } catch (const Error& error) {
    if (error.kind == Kind::bug) throw;
  }
  return 0;
}
