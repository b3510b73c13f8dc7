/// The protocol buffer of a SentencePiece model, as far as it is needed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace guerdon::text {

struct SentencePieceFile {
  enum class PieceKind {
    normal = 1,
    unknown = 2,
    control = 3,
    user_defined = 4,
    unused = 5,
    byte = 6
  };
  struct PieceEntry {
    std::string text;
    float score = 0;
    PieceKind kind = PieceKind::normal;
  };
  std::vector<PieceEntry> pieces;  ///< by id
  bool is_bpe = false;             ///< else unigram
  bool byte_fallback = false, whitespace_as_suffix = false;
  uint32_t unknown_id = 0;
  std::optional<uint32_t> bos_id, eos_id, pad_id;
  std::string unknown_surface = " \xE2\x81\x87 ";  ///< what an unknown token is decoded to
  std::string charsmap;
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
};

/// Throws Error (Kind::input) when it is none, damaged, or of a kind that is not supported.
SentencePieceFile read_sentencepiece_file(std::string_view bytes, const std::string& where);

}  // namespace guerdon::text
