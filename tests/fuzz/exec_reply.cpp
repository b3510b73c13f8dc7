// The line that a program outside answers with: refused, or a score that is finite as float32.
#include <cmath>
#include <cstdint>
#include <string_view>

#include "guerdon/base/error.h"
#include "guerdon/rules/reply.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace guerdon;
  try {
    const rules::Reply reply = rules::read_reply({reinterpret_cast<const char*>(data), size});
    GUERDON_CHECK(!reply.score || std::isfinite(static_cast<float>(*reply.score)), "not finite");
  } catch (const Error& error) {
    if (error.kind != Kind::input) throw;
  }
  return 0;
}
