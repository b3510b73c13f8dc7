/// Keys and values of what the slots of an engine have read so far.
#pragma once

#include <cstdint>
#include <vector>

#include "guerdon/ops/tensor.h"

namespace guerdon::generate {

/// Keys and values of one prompt: per layer [L, kv_heads, D].
struct PromptCache {
  std::vector<Tensor> keys, values;
  int64_t length = 0;
};

struct CacheShape {
  int64_t layers, slots, kv_heads, head_dim;
  at::ScalarType type;
  at::Device device;
};

/// A static cache: room for `slots` sequences of up to `capacity` tokens, allocated at once and
/// grown (with a copy) when a longer sequence needs it.
class KvCache {
 public:
  explicit KvCache(const CacheShape& shape) : shape_(shape) {}

  int64_t capacity() const { return capacity_; }
  /// Room for sequences of `tokens` tokens; what is stored stays.
  void reserve(int64_t tokens);

  /// [slots, capacity, kv_heads, D] of a layer.
  const Tensor& keys(int64_t layer) const { return keys_[static_cast<size_t>(layer)]; }
  const Tensor& values(int64_t layer) const { return values_[static_cast<size_t>(layer)]; }

  /// One token for each slot 0 ... n-1: k and v [n, kv_heads, D] at positions [n] int64.
  void write(int64_t layer, const Tensor& positions, const Tensor& k, const Tensor& v);
  /// A slot begins with a prompt.
  void start(int64_t slot, const PromptCache& prompt);
  /// The first `tokens` tokens of slot `from` become those of slot `to`.
  void move(int64_t from, int64_t to, int64_t tokens);

 private:
  CacheShape shape_;
  int64_t capacity_ = 0;
  std::vector<Tensor> keys_, values_;
  Tensor slot_ids_;  // 0 ... slots-1
};

}  // namespace guerdon::generate
