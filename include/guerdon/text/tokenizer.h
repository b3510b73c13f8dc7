/// Tokenizers from `tokenizer.json` (byte-level BPE, SentencePiece-style BPE, Unigram, WordPiece,
/// WordLevel) and from SentencePiece
/// `.model` files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "guerdon/base/json_reader.h"

namespace guerdon::text {

/// Token ids with the part of the text that each one stands for, in bytes [begin, end) of the
/// input.
struct Encoding {
  struct Range {
    int64_t begin, end;
  };
  std::vector<int64_t> ids;
  std::vector<Range> ranges;
};

/// A vocabulary and the rules that turn text into ids and back. Immutable; any number of threads
/// may use one.
class Tokenizer {
 public:
  /// `path`: a folder with tokenizer.json (or tokenizer.model, spiece.model, m.model), or such a
  /// file. Beside it, tokenizer_config.json, special_tokens_map.json and generation_config.json
  /// name the special tokens. Throws Error (Kind::input) that names the entry at fault.
  ///
  /// A `.model` file alone is used as the SentencePiece program uses it: no special token is
  /// recognised in text, and none is added. With a tokenizer_config.json beside it, it behaves as
  /// the tokenizer that Transformers makes of the two.
  static Tokenizer load(const std::filesystem::path& path);
  /// From the text of a tokenizer.json; `where` names it in errors.
  static Tokenizer from_json(const Json& json, const std::string& where);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Ids of a text. Special tokens that stand in the text are recognised as such. With
  /// `add_special_tokens` the post-processor adds its own (BOS, EOS, [CLS] ...). Truncation that
  /// tokenizer.json asks for is not applied: callers cut, and count. Throws Error (Kind::input)
  /// when the text is not UTF-8 (nothing is replaced in silence), is longer than 1 GiB, or drives a
  /// pattern of the file past its step limit.
  std::vector<int64_t> encode(std::string_view text, bool add_special_tokens = false) const;
  /// The same with the part of the text behind each id: whole characters, and [0, 0) for what the
  /// post-processor adds.
  Encoding encode_with_ranges(std::string_view text, bool add_special_tokens = false) const;
  /// Text of ids. Bytes that are not UTF-8 become U+FFFD, as in Transformers; ids that the
  /// vocabulary lacks are left out.
  std::string decode(std::span<const int64_t> ids, bool skip_special_tokens = false) const;

  int64_t vocabulary_size() const;  ///< largest id + 1
  std::optional<int64_t> id_of(std::string_view token) const;
  std::string token_of(int64_t id) const;  ///< the entry as the vocabulary writes it; "" for a gap
  bool is_special(int64_t id) const;

  std::optional<int64_t> bos() const, eos() const, pad() const, unknown() const;
  /// The texts of those tokens, "" where there is none; chat templates ask for them.
  std::string bos_token() const, eos_token() const;

  /// The tokenizer.json that this was read from (or an equal one), to be saved beside a model.
  std::string json_text() const;

 private:
  friend class StreamDecoder;
  struct Implementation;
  explicit Tokenizer(std::shared_ptr<const Implementation> implementation);
  std::shared_ptr<const Implementation> implementation_;
};

/// Decodes ids as they come and never emits a part of a character: the concatenation of what `push`
/// and `finish` give equals `decode` of all ids.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = false);
  ~StreamDecoder();
  std::string push(int64_t id);
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct BpeTraining {
  int64_t vocabulary_size = 8192;           ///< special tokens included
  std::vector<std::string> special_tokens;  ///< first ids, in this order
  int64_t min_frequency = 2;
};

/// Learns a byte-level BPE (GPT-2's pattern and byte alphabet) from texts; the result is the text
/// of a tokenizer.json. Merges are chosen by count, ties by the smaller pair of ids: the same texts
/// give the same file.
std::string train_bpe(std::span<const std::string> texts, const BpeTraining& options);

}  // namespace guerdon::text
