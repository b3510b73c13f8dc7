// Every component against the Hugging Face library: small tokenizers of all kinds on odd texts
// (tests/fixtures/generate_tokenizers.py).
#include "support/data.h"
#include "text/tokenizer_checks.h"

namespace guerdon::test {
namespace {

TEST(TokenizerFixture, AgreesWithTheLibrary) {
  const Json fixture_json = read_json(fixture("tokenizers.json"));
  int tokenizers = 0;
  for (const Json& entry : fixture_json.at("tokenizers")) {
    const auto name = entry.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const text::Tokenizer tokenizer = text::Tokenizer::from_json(entry.at("tokenizer"), name);
    for (const Json& row : entry.at("cases")) expect_case(tokenizer, row);
    for (const Json& row : entry.at("decode")) {
      EXPECT_EQ(tokenizer.decode(row.at("ids").get<std::vector<int64_t>>()),
                row.at("text").get<std::string>());
    }
    ++tokenizers;
  }
  EXPECT_EQ(tokenizers, 21);
}

}  // namespace
}  // namespace guerdon::test
