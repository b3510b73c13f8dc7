// A tokenizer.json, or a SentencePiece model: loaded and used, or refused with an Error.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "guerdon/base/error.h"
#include "guerdon/text/tokenizer.h"
#include "text/pipeline.h"

namespace {

void load(std::string_view bytes) {
  if (!bytes.starts_with("{")) {
    const guerdon::text::SentencePieceUse use{.has_config = true, .add_bos = true, .add_eos = true};
    guerdon::text::read_sentencepiece(bytes, "fuzz", use).json();
    return;
  }
  const guerdon::Json json = guerdon::parse_json(bytes, "fuzz");
  const auto tokenizer = guerdon::text::Tokenizer::from_json(json, "fuzz");
  const auto encoding =
      tokenizer.encode_with_ranges("Don't <s> e\xCC\x81 12  \n\xF0\x9F\x98\x80", true);
  GUERDON_CHECK(encoding.ids.size() == encoding.ranges.size(), "an id without a range");
  tokenizer.decode(encoding.ids);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    load({reinterpret_cast<const char*>(data), size});
  } catch (const guerdon::Error& error) {
    if (error.kind != guerdon::Kind::input) throw;
  }
  return 0;
}
