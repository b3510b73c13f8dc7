// Seven real vocabularies against the ids, ranges and texts that the reference libraries give.
#include "guerdon/data/reader.h"
#include "support/data.h"
#include "text/tokenizer_checks.h"

namespace guerdon::test {
namespace {

void expect_cases(const std::string& tokenizer_path, const std::string& cases, int64_t rows) {
  const auto folder = data_folder() / "tokenizers";
  const text::Tokenizer tokenizer = text::Tokenizer::load(folder / tokenizer_path);
  data::RowReader reader(folder / cases);
  int64_t count = 0;
  while (const auto row = reader.next()) {
    expect_case(tokenizer, row->fields.json());
    ++count;
  }
  EXPECT_EQ(count, rows);
}

/// Cases that others published: their texts are tidied after decoding, so the ids are what counts.
void expect_published_ids(const std::string& name, bool add_special_tokens, int64_t rows) {
  const auto folder = data_folder() / "tokenizers" / name;
  const text::Tokenizer tokenizer = text::Tokenizer::load(folder);
  data::RowReader reader(folder / "published_cases.jsonl");
  int64_t count = 0;
  while (const auto row = reader.next()) {
    const Json& json = row->fields.json();
    EXPECT_EQ(tokenizer.encode(json.at("text").get<std::string>(), add_special_tokens),
              json.at("ids").get<std::vector<int64_t>>());
    ++count;
  }
  EXPECT_EQ(count, rows);
}

TEST(TokenizerVocabularies, Gpt2) {
  GUERDON_NEEDS_DATA("tokenizers");
  expect_cases("gpt2", "gpt2/cases.jsonl.gz", 252);
  expect_published_ids("gpt2", false, 33);
}

TEST(TokenizerVocabularies, SmolLm2) {
  GUERDON_NEEDS_DATA("tokenizers");
  expect_cases("smollm2", "smollm2/cases.jsonl.gz", 252);
}

TEST(TokenizerVocabularies, Llama3) {
  GUERDON_NEEDS_DATA("tokenizers");
  expect_cases("tiny-llama3", "tiny-llama3/cases.jsonl.gz", 252);
}

TEST(TokenizerVocabularies, Qwen2) {
  GUERDON_NEEDS_DATA("tokenizers");
  expect_cases("tiny-qwen2", "tiny-qwen2/cases.jsonl.gz", 252);
}

TEST(TokenizerVocabularies, T5FromTokenizerJson) {
  GUERDON_NEEDS_DATA("tokenizers");
  expect_cases("t5-small", "t5-small/cases_hf.jsonl.gz", 252);
}

TEST(TokenizerVocabularies, T5AsPublished) {
  GUERDON_NEEDS_DATA("tokenizers");
  expect_published_ids("t5-small", true, 29);
}

TEST(TokenizerVocabularies, T5FromSentencePiece) {
  GUERDON_NEEDS_DATA("tokenizers");
  expect_cases("t5-small/spiece.model", "t5-small/cases.jsonl.gz", 252);
}

TEST(TokenizerVocabularies, UnigramFromSentencePiece) {
  GUERDON_NEEDS_DATA("tokenizers");
  expect_cases("spm-unigram-2k", "spm-unigram-2k/cases.jsonl.gz", 252);
}

TEST(TokenizerVocabularies, MistralFromSentencePiece) {
  GUERDON_NEEDS_DATA("tokenizers");
  expect_cases("mistral-v1", "mistral-v1/cases.jsonl.gz", 252);
}

TEST(TokenizerVocabularies, SpecialTokensComeFromTheConfig) {
  GUERDON_NEEDS_DATA("tokenizers");
  const text::Tokenizer tokenizer =
      text::Tokenizer::load(data_folder() / "tokenizers" / "smollm2" / "tokenizer.json");
  EXPECT_EQ(tokenizer.bos_token(), "<|im_start|>");
  EXPECT_EQ(tokenizer.eos_token(), "<|im_end|>");
  EXPECT_EQ(tokenizer.pad(), 2);
  EXPECT_EQ(tokenizer.unknown(), 0);
  EXPECT_TRUE(tokenizer.is_special(1));
  EXPECT_FALSE(tokenizer.is_special(100));
  EXPECT_EQ(tokenizer.vocabulary_size(), 49152);
}

// A SentencePiece model is written as the tokenizer.json that Transformers makes of it. The two
// agree but for runs of spaces and the like, so plain sentences are compared.
TEST(TokenizerVocabularies, ASentencePieceModelCanBeSavedAsJson) {
  GUERDON_NEEDS_DATA("tokenizers");
  for (const char* name : {"mistral-v1", "spm-unigram-2k", "t5-small/spiece.model"}) {
    const text::Tokenizer tokenizer = text::Tokenizer::load(data_folder() / "tokenizers" / name);
    const text::Tokenizer saved =
        text::Tokenizer::from_json(parse_json(tokenizer.json_text(), name), name);
    EXPECT_EQ(saved.vocabulary_size(), tokenizer.vocabulary_size());
    for (const char* text : {"Hello world, how are you?", "The reward is low today.",
                             "naive approaches; \"quoted\" words", "x"}) {
      EXPECT_EQ(saved.encode(text), tokenizer.encode(text)) << name << ": " << text;
      EXPECT_EQ(saved.decode(saved.encode(text)), tokenizer.decode(tokenizer.encode(text)));
    }
  }
}

}  // namespace
}  // namespace guerdon::test
