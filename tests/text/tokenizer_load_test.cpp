// What a tokenizer's files may hold, and what is said of those that are refused.
#include "support/data.h"
#include "support/errors.h"
#include "support/temporary.h"
#include "text/tokenizer_checks.h"

namespace guerdon::test {
namespace {

using text::Tokenizer;

Json bpe(Json vocabulary, Json merges = Json::array()) {
  return {{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", std::move(merges)}};
}

std::string refusal_of(const Json& json) {
  return refusal(Kind::input, [&] { Tokenizer::from_json(json, "t.json"); });
}

TEST(TokenizerLoad, NamesTheEntryAtFault) {
  EXPECT_EQ(
      refusal_of(tokenizer_json(bpe({{"a", 0}, {"b", 1}}, {"a b"}))),
      "t.json: key model.merges[0]: the vocabulary has no token \"ab\", which the merge makes");
  EXPECT_EQ(refusal_of(tokenizer_json(bpe({{"a", 0}}, {"a q"}))),
            "t.json: key model.merges[0]: the vocabulary has no token \"q\"");
  EXPECT_EQ(refusal_of(tokenizer_json(bpe({{"a", 0}}, {"a b c"}))),
            "t.json: key model.merges[0]: must be two tokens with a space between, got \"a b c\"");
  EXPECT_EQ(refusal_of(tokenizer_json(bpe({{"a", 0}, {"b", 0}}))),
            "t.json: key model.vocab[\"b\"]: id 0 is taken by \"a\"");
  EXPECT_EQ(refusal_of(tokenizer_json(bpe({{"a", 4294967295}}))),
            "t.json: key model.vocab[\"a\"]: ids must lie in [0, 16777216], got 4294967295");
  EXPECT_EQ(refusal_of(tokenizer_json(bpe({{"a", -1}}))),
            "t.json: key model.vocab[\"a\"]: ids must lie in [0, 16777216], got -1");
  EXPECT_EQ(
      refusal_of(tokenizer_json({{"type", "Quantum"}})),
      "t.json: key model.type: no such model: \"Quantum\" (expected BPE, Unigram, WordPiece or "
      "WordLevel)");
  EXPECT_EQ(refusal_of(Json::object()), "t.json: \"model\" is missing");
  EXPECT_EQ(refusal_of(Json::array()), "t.json: must be an object");
}

TEST(TokenizerLoad, RefusesPatternsThatDoNotCompile) {
  for (const char* pattern :
       {"(unclosed", "[a", "\\p{Nonsense}", "(?~a)", "[a&&", "\\", "(?<n>a)\\k<m>"}) {
    const Json split = {
        {"pre_tokenizer",
         {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}}}};
    const std::string text = refusal_of(tokenizer_json(bpe({{"a", 0}}), split));
    EXPECT_EQ(text.find("t.json: key pre_tokenizer.pattern.Regex: the pattern "), 0u) << text;
  }
}

TEST(TokenizerLoad, AddedTokensMustAgreeWithTheVocabulary) {
  const auto with = [](Json tokens) {
    return tokenizer_json(bpe({{"a", 0}, {"b", 1}}), {{"added_tokens", std::move(tokens)}});
  };
  EXPECT_EQ(
      refusal_of(with({{{"id", 0}, {"content", "<s>"}}})),
      "t.json: key added_tokens[0]: the added token \"<s>\" has id 0, which is that of \"a\"");
  EXPECT_EQ(refusal_of(with({{{"id", 7}, {"content", "a"}}})),
            "t.json: key added_tokens[0]: the added token \"a\" has id 7, but 0 in the vocabulary");
  EXPECT_EQ(refusal_of(with({{{"id", 7}, {"content", "x"}}, {{"id", 7}, {"content", "y"}}})),
            "t.json: key added_tokens[1]: the added tokens \"y\" and \"x\" have the same id 7");
  EXPECT_EQ(refusal_of(with({{{"id", 7}, {"content", "x"}}, {{"id", 8}, {"content", "x"}}})),
            "t.json: key added_tokens[1]: the added token \"x\" has two ids, 7 and 8");
  const Tokenizer tokenizer = Tokenizer::from_json(
      with({{{"id", 9}, {"content", "x"}}, {{"id", 0}, {"content", "a"}}}), "t");
  EXPECT_EQ(tokenizer.vocabulary_size(), 10);
  EXPECT_EQ(tokenizer.encode("axb"), (std::vector<int64_t>{0, 9, 1}));
  EXPECT_EQ(tokenizer.id_of("x"), 9);
  EXPECT_EQ(tokenizer.token_of(5), "");
}

TEST(TokenizerLoad, GapsBetweenIdsAreLegal) {
  const Tokenizer tokenizer =
      Tokenizer::from_json(tokenizer_json(bpe({{"a", 0}, {"b", 7}, {"ab", 8}}, {"a b"})), "t");
  EXPECT_EQ(tokenizer.vocabulary_size(), 9);
  EXPECT_EQ(tokenizer.encode("abba"), (std::vector<int64_t>{8, 7, 0}));
  EXPECT_EQ(tokenizer.decode(std::vector<int64_t>{8, 3, -1, 1 << 30}), "ab");
}

TEST(TokenizerLoad, BrokenFilesHaveTheirOutcome) {
  GUERDON_NEEDS_DATA("bad-inputs");
  const auto folder = data_folder() / "bad-inputs";
  for (const auto& file : std::filesystem::directory_iterator(folder / "tokenizer")) {
    SCOPED_TRACE(file.path().filename().string());
    if (file.path().filename() == "id_gap.json") {
      EXPECT_NO_THROW(Tokenizer::load(file.path()));
    } else {
      const std::string text = refusal(Kind::input, [&] { Tokenizer::load(file.path()); });
      EXPECT_EQ(text.find(file.path().string() + ": key "), 0u) << text;
    }
  }
}

TEST(TokenizerLoad, AFolderWithoutATokenizerIsRefused) {
  const TemporaryFolder folder;
  EXPECT_NE(refusal(Kind::input, [&] { Tokenizer::load(folder.path()); })
                .find("the folder has no tokenizer"),
            std::string::npos);
  refusal(Kind::input, [&] { Tokenizer::load(folder.path() / "missing.json"); });
}

TEST(TokenizerLoad, ADamagedSentencePieceModelIsRefused) {
  const TemporaryFolder folder;
  for (const std::string& bytes : {std::string(), std::string("\x0a\xff\xff\xff\xff\x0f", 6),
                                   std::string("hello, world"), std::string("\x0a\x00", 2)}) {
    const auto file = folder.file("tokenizer.model", bytes);
    const std::string text = refusal(Kind::input, [&] { Tokenizer::load(file); });
    EXPECT_EQ(text.find(file.string() + ": "), 0u) << text;
  }
}

TEST(TokenizerLoad, SpecialTokensComeFromTheFilesBesideIt) {
  const TemporaryFolder folder;
  folder.file("tokenizer.json",
              tokenizer_json(bpe({{"a", 0}, {"<s>", 1}, {"</s>", 2}, {"<p>", 3}})).dump());
  folder.file("special_tokens_map.json",
              R"({"bos_token": {"content": "<s>", "lstrip": false}, "pad_token": "<p>"})");
  folder.file("tokenizer_config.json", R"({"pad_token": null, "unk_token": "a"})");
  folder.file("generation_config.json",
              R"({"eos_token_id": [2, 0], "bos_token_id": 0, "pad_token_id": 1})");
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.bos_token(), "<s>");
  EXPECT_EQ(tokenizer.eos(), 2);
  EXPECT_EQ(tokenizer.pad(), std::nullopt);  // the first file says that there is none
  EXPECT_EQ(tokenizer.unknown(), 0);
  EXPECT_EQ(tokenizer.json_text(),
            tokenizer_json(bpe({{"a", 0}, {"<s>", 1}, {"</s>", 2}, {"<p>", 3}})).dump());
}

TEST(TokenizerLoad, TextThatIsNotUtf8IsRefused) {
  const Tokenizer tokenizer = Tokenizer::from_json(byte_level_json(), "t");
  EXPECT_EQ(refusal(Kind::input, [&] { tokenizer.encode("ab\xFF"); }),
            "text: is not UTF-8 at byte 2");
}

}  // namespace
}  // namespace guerdon::test
