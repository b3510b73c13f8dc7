/// What turns a piece of text into ids: the component "model" of tokenizer.json.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/node.h"
#include "text/pattern.h"
#include "text/piece_cache.h"
#include "text/vocabulary.h"

namespace guerdon::text {

/// What one thread needs to encode. Buffers keep their memory between calls.
struct Workspace {
  /// A symbol of a word that is being merged: a doubly linked list within an array.
  struct Symbol {
    uint32_t id, length;
    int32_t previous, next;
  };
  /// A pair that may be merged: its rank and the place of its left symbol.
  struct Candidate {
    uint32_t rank;
    int32_t left;
    uint32_t id;  ///< what the merge would give
  };
  /// The best way to reach a place of the text.
  struct Step {
    double score;
    uint32_t begin, id;
  };

  MatchSpace matching;
  PieceCache cache;
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
  std::vector<Step> steps;
  std::vector<ModelToken> tokens;
};

/// Immutable.
class Model {
 public:
  virtual ~Model() = default;
  /// Puts the tokens of a piece (not empty) behind what is in `tokens`; places count from the start
  /// of the piece.
  virtual void encode(std::string_view piece, Workspace& workspace,
                      std::vector<ModelToken>& tokens) const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
  virtual std::optional<uint32_t> unknown() const = 0;
};

/// Throws Error (Kind::input) that names the entry at fault. With `takes_bytes` the pieces come as
/// the bytes that the pre-tokenizer would have written in the byte alphabet; only BPE may be asked
/// for that.
std::unique_ptr<Model> read_model(const Node& node, bool takes_bytes);
/// Whether this model could take bytes in place of the byte alphabet.
bool may_take_bytes(const Node& node);

/// "<0x00>" to "<0xFF>": the tokens of single bytes in SentencePiece's vocabularies.
std::string byte_token(int byte);

}  // namespace guerdon::text
