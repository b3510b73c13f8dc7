/// How a text is cut into the pieces that the model sees one by one: the component "pre_tokenizer"
/// of tokenizer.json.
#pragma once

#include <memory>
#include <vector>

#include "text/aligned_text.h"
#include "text/node.h"
#include "text/pattern.h"

namespace guerdon::text {

/// A text and its pieces: in order, without overlap, none empty. What no piece covers is left out.
struct Pieces {
  AlignedText text;
  std::vector<Piece> list;
};

/// Immutable. Names and meanings are those of the Hugging Face library.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Pieces& pieces, MatchSpace& space) const = 0;
  /// Whether the pieces depend on where in the input they came from, so that origins must be
  /// tracked even when nobody asks.
  virtual bool needs_origins() const { return false; }
};

/// Throws Error (Kind::input) that names the entry at fault.
/// When the last step writes bytes in the byte alphabet, and `may_leave_bytes` allows, that step is
/// left out and `leaves_bytes` set: the model then gets the bytes themselves.
std::unique_ptr<PreTokenizer> read_pre_tokenizer(const Node& node, bool may_leave_bytes,
                                                 bool& leaves_bytes);

}  // namespace guerdon::text
