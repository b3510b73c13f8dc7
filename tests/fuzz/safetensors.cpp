// Headers of weight files: what is accepted lies inside the file, in order and without holes.
#include <cstdint>
#include <string_view>

#include "guerdon/base/error.h"
#include "guerdon/data/safetensors_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace guerdon;
  try {
    const std::string_view file(reinterpret_cast<const char*>(bytes), size);
    const data::SafetensorsHeader header = data::read_safetensors_header(file, "x");
    uint64_t at = header.tensors.empty() ? size : header.tensors.front().begin;
    for (const data::TensorEntry& tensor : header.tensors) {
      GUERDON_CHECK(tensor.begin == at && tensor.end >= tensor.begin && tensor.end <= size,
                    "outside");
      GUERDON_CHECK(static_cast<uint64_t>(tensor.elements()) *
                            static_cast<uint64_t>(data::dtype_bits(tensor.dtype)) ==
                        8 * tensor.bytes(),
                    "size");
      at = tensor.end;
    }
    GUERDON_CHECK(at == size, "not covered");
  } catch (const Error& error) {
    if (error.kind == Kind::bug) throw;
  }
  return 0;
}
