// The JSON reader: refuses with an Error or gives a value that reads back to itself.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "guerdon/base/error.h"
#include "guerdon/base/json_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool comments : {false, true}) {
    guerdon::Json value;
    try {
      value = guerdon::parse_json(text, "input", 0, {.comments = comments});
    } catch (const guerdon::Error& e) {
      if (e.kind != guerdon::Kind::input) std::abort();
      continue;
    }
    if (guerdon::parse_json(value.dump(), "dump") != value) std::abort();
  }
  return 0;
}
