// The reader of config.json: refuses with an Error, or gives a configuration whose numbers lie in
// their ranges.
#include "guerdon/data/hf_config.h"

#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "guerdon/base/error.h"
#include "guerdon/base/json_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto config =
        guerdon::data::parse_model_config(guerdon::parse_json(text, "input"), "input");
    if (config.vocabulary_size() < 1 || config.vocabulary_size() > 1 << 24) std::abort();
    if (const auto* decoder = config.decoder()) {
      if (decoder->layers.empty() || decoder->layers.size() > 1024 ||
          decoder->heads % decoder->kv_heads != 0)
        std::abort();
      for (const auto& layer : decoder->layers)
        if (layer.rope >= static_cast<int64_t>(decoder->ropes.size())) std::abort();
    }
  } catch (const guerdon::Error& e) {
    if (e.kind != guerdon::Kind::input) std::abort();
  }
  return 0;
}
