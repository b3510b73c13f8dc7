// Decoding piece by piece: never half a character, and in sum what decode() gives.
#include "guerdon/base/random.h"
#include "guerdon/base/utf8.h"
#include "support/data.h"
#include "text/tokenizer_checks.h"

namespace guerdon::test {
namespace {

using text::StreamDecoder;
using text::Tokenizer;

TEST(StreamDecoder, HoldsBackHalfACharacter) {
  const Tokenizer tokenizer = Tokenizer::from_json(byte_level_json(), "t");
  const std::string face = "\xF0\x9F\x98\x80";
  const std::vector<int64_t> ids = tokenizer.encode("a" + face + "b");
  ASSERT_EQ(ids.size(), 6u);
  StreamDecoder decoder(tokenizer);
  std::vector<std::string> parts;
  for (const int64_t id : ids) parts.push_back(decoder.push(id));
  EXPECT_EQ(parts, (std::vector<std::string>{"a", "", "", "", face, "b"}));
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, AnUnfinishedCharacterBecomesAReplacement) {
  const Tokenizer tokenizer = Tokenizer::from_json(byte_level_json(), "t");
  std::vector<int64_t> ids = tokenizer.encode("\xE4\xB8\x96");
  ids.pop_back();
  StreamDecoder decoder(tokenizer);
  for (const int64_t id : ids) EXPECT_EQ(decoder.push(id), "");
  EXPECT_EQ(decoder.finish(), "\xEF\xBF\xBD");
}

TEST(StreamDecoder, EqualsDecodeForEveryKind) {
  const Json kinds = read_json(fixture("tokenizers.json"));
  uint64_t n = 0;
  for (const Json& entry : kinds.at("tokenizers")) {
    const auto name = entry.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const Tokenizer tokenizer = Tokenizer::from_json(entry.at("tokenizer"), name);
    Random random(3, Purpose::data, ++n);
    for (int round = 0; round < 50; ++round) {
      std::vector<int64_t> ids(random.next_below(12));
      for (int64_t& id : ids)
        id = static_cast<int64_t>(
            random.next_below(static_cast<uint64_t>(tokenizer.vocabulary_size()) + 2));
      const bool skip = round % 2 == 1;
      StreamDecoder decoder(tokenizer, skip);
      std::string text;
      for (const int64_t id : ids) {
        const std::string part = decoder.push(id);
        EXPECT_TRUE(is_utf8(part));
        text += part;
      }
      text += decoder.finish();
      EXPECT_EQ(text, tokenizer.decode(ids, skip));
    }
  }
}

}  // namespace
}  // namespace guerdon::test
