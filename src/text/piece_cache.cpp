#include "text/piece_cache.h"

#include "text/vocabulary.h"

namespace guerdon::text {
namespace {
constexpr size_t kFirstSlots = 1024, kMaxSlots = size_t{1} << 17;
}

size_t PieceCache::slot_of(std::string_view piece, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  for (; slots_[slot].length != 0; slot = (slot + 1) & mask) {
    const Slot& s = slots_[slot];
    if (s.hash == hash && std::string_view(keys_).substr(s.key, s.length) == piece) break;
  }
  return slot;
}

bool PieceCache::find(std::string_view piece, std::vector<ModelToken>& tokens) const {
  if (piece.size() > kMaxPiece || slots_.empty()) return false;
  const Slot& slot = slots_[slot_of(piece, hash_of(piece))];
  if (slot.length == 0) return false;
  const auto first = tokens_.begin() + slot.first;
  tokens.insert(tokens.end(), first, first + slot.count);
  return true;
}

void PieceCache::add(std::string_view piece, const std::vector<ModelToken>& tokens, size_t first) {
  if (piece.size() > kMaxPiece || piece.empty()) return;
  if (slots_.empty()) slots_.resize(kFirstSlots);
  if (2 * used_ >= slots_.size()) {
    if (slots_.size() < kMaxSlots) {
      std::vector<Slot> old(slots_.size() * 2);
      old.swap(slots_);
      const size_t mask = slots_.size() - 1;
      for (const Slot& slot : old) {
        if (slot.length == 0) continue;
        size_t at = slot.hash & mask;
        while (slots_[at].length != 0) at = (at + 1) & mask;
        slots_[at] = slot;
      }
    } else {
      slots_.assign(slots_.size(), Slot{});
      keys_.clear();
      tokens_.clear();
      used_ = 0;
    }
  }
  const uint64_t hash = hash_of(piece);
  Slot& slot = slots_[slot_of(piece, hash)];
  if (slot.length != 0) return;
  slot = {hash, static_cast<uint32_t>(keys_.size()), static_cast<uint32_t>(piece.size()),
          static_cast<uint32_t>(tokens_.size()), static_cast<uint32_t>(tokens.size() - first)};
  keys_ += piece;
  tokens_.insert(tokens_.end(), tokens.begin() + static_cast<ptrdiff_t>(first), tokens.end());
  ++used_;
}

}  // namespace guerdon::text
