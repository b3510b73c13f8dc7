// A template's source: parsed, or refused with an Error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "guerdon/base/error.h"
#include "guerdon/text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    guerdon::text::ChatTemplate::parse({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const guerdon::Error& error) {
    if (error.kind != guerdon::Kind::input) throw;
  }
  return 0;
}
