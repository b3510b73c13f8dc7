// The first half of the input trains a byte-level vocabulary, the second is encoded with it:
// decoding gives it back, and the ranges cover it in order.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "guerdon/base/error.h"
#include "guerdon/text/tokenizer.h"

namespace {

using guerdon::str;

void check(const std::string& known, std::string_view text) {
  const std::vector<std::string> texts = {known};
  const std::string json = guerdon::text::train_bpe(
      texts, {.vocabulary_size = 320, .special_tokens = {"<s>", "  "}, .min_frequency = 1});
  const auto tokenizer =
      guerdon::text::Tokenizer::from_json(guerdon::parse_json(json, "trained"), "trained");
  const auto encoding = tokenizer.encode_with_ranges(text);
  GUERDON_CHECK(encoding.ids == tokenizer.encode(text),
                "ids depend on whether ranges are asked for");
  GUERDON_CHECK(tokenizer.decode(encoding.ids) == text, "the text does not come back");
  int64_t end = 0;
  for (size_t i = 0; i < encoding.ids.size(); ++i) {
    GUERDON_CHECK(encoding.ids[i] >= 0 && encoding.ids[i] < tokenizer.vocabulary_size(),
                  "no such id");
    GUERDON_CHECK(encoding.ranges[i].begin <= end && encoding.ranges[i].end >= end,
                  "a gap between ranges");
    end = encoding.ranges[i].end;
  }
  GUERDON_CHECK(end == static_cast<int64_t>(text.size()), "the ranges end too early");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    check(std::string(bytes.substr(0, size / 2)), bytes.substr(size / 2));
  } catch (const guerdon::Error& error) {
    if (error.kind != guerdon::Kind::input) throw;
  }
  return 0;
}
