/// The parts of a tokenizer, however they were read.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "text/added_tokens.h"
#include "text/decoder.h"
#include "text/model.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"

namespace guerdon::text {

struct Pipeline {
  std::unique_ptr<Normalizer> normalizer;  ///< may be null
  AddedTokens added;
  std::unique_ptr<PreTokenizer> pre_tokenizer;  ///< may be null: the text is one piece
  std::unique_ptr<Model> model;
  std::unique_ptr<PostProcessor> post_processor;  ///< may be null
  std::unique_ptr<Decoder> decoder;
  std::function<std::string()> json;  ///< the text of an equal tokenizer.json
};

/// From the text of a tokenizer.json. Throws Error (Kind::input) that names the entry at fault.
Pipeline read_tokenizer_json(const Node& node);

/// What is known of the special tokens from the files beside a tokenizer.
struct SpecialTokens {
  std::optional<int64_t> bos, eos, pad, unknown;
};

/// tokenizer_config.json, else special_tokens_map.json name the tokens; generation_config.json,
/// else config.json their ids.
SpecialTokens read_special_tokens(
    const std::filesystem::path& folder,
    const std::function<std::optional<int64_t>(std::string_view)>& id_of, int64_t id_end);

/// How a folder's tokenizer_config.json wants a SentencePiece model to be used.
struct SentencePieceUse {
  bool has_config = false;  ///< without one the model is used as the SentencePiece program does: no
                            ///< special tokens in the text
  bool add_bos = false, add_eos = false;
};
SentencePieceUse read_sentencepiece_use(const std::filesystem::path& folder);

/// From the bytes of a SentencePiece model. Throws Error (Kind::input).
Pipeline read_sentencepiece(std::string_view bytes, const std::string& where,
                            const SentencePieceUse& use);

}  // namespace guerdon::text
