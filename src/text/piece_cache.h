#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace guerdon::text {

/// A token of a piece and the bytes [begin, end) of the piece behind it.
struct ModelToken {
  uint32_t id, begin, end;
};

/// Remembers the tokens of short pieces: most words of a text were seen before. Bounded: full, it
/// starts anew.
class PieceCache {
 public:
  static constexpr size_t kMaxPiece = 64;

  /// Puts the tokens of a known piece behind what is in `tokens`.
  bool find(std::string_view piece, std::vector<ModelToken>& tokens) const;
  /// Remembers tokens[first...] for the piece.
  void add(std::string_view piece, const std::vector<ModelToken>& tokens, size_t first);

 private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t key = 0, length = 0;   // in keys_; length 0: free
    uint32_t first = 0, count = 0;  // in tokens_
  };
  size_t slot_of(std::string_view piece, uint64_t hash) const;

  std::vector<Slot> slots_;
  size_t used_ = 0;
  std::string keys_;
  std::vector<ModelToken> tokens_;
};

}  // namespace guerdon::text
