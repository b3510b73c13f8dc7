#include "guerdon/generate/kv_cache.h"

#include <ATen/ATen.h>

#include "guerdon/base/error.h"

namespace guerdon::generate {

void KvCache::reserve(int64_t tokens) {
  if (tokens <= capacity_) return;
  const auto options = at::TensorOptions(shape_.type).device(shape_.device);
  const auto grown = [&](const Tensor& old) {
    // Zeros, not garbage: attention reads whole rows and hides what lies past a sequence's end.
    Tensor fresh = at::zeros({shape_.slots, tokens, shape_.kv_heads, shape_.head_dim}, options);
    if (old.defined()) fresh.narrow(1, 0, capacity_).copy_(old);
    return fresh;
  };
  keys_.resize(static_cast<size_t>(shape_.layers));
  values_.resize(static_cast<size_t>(shape_.layers));
  for (Tensor& keys : keys_) keys = grown(keys);
  for (Tensor& values : values_) values = grown(values);
  if (!slot_ids_.defined()) slot_ids_ = at::arange(shape_.slots, options.dtype(at::kLong));
  capacity_ = tokens;
}

void KvCache::write(int64_t layer, const Tensor& positions, const Tensor& k, const Tensor& v) {
  const auto i = static_cast<size_t>(layer);
  const Tensor slots = slot_ids_.narrow(0, 0, positions.size(0));
  keys_[i].index_put_({slots, positions}, k);
  values_[i].index_put_({slots, positions}, v);
}

void KvCache::start(int64_t slot, const PromptCache& prompt) {
  GUERDON_CHECK(prompt.length <= capacity_, "KvCache: a prompt of ", prompt.length,
                " tokens in a cache of ", capacity_);
  for (size_t i = 0; i < keys_.size(); ++i) {
    keys_[i][slot].narrow(0, 0, prompt.length).copy_(prompt.keys[i]);
    values_[i][slot].narrow(0, 0, prompt.length).copy_(prompt.values[i]);
  }
}

void KvCache::move(int64_t from, int64_t to, int64_t tokens) {
  for (size_t i = 0; i < keys_.size(); ++i) {
    keys_[i][to].narrow(0, 0, tokens).copy_(keys_[i][from].narrow(0, 0, tokens));
    values_[i][to].narrow(0, 0, tokens).copy_(values_[i][from].narrow(0, 0, tokens));
  }
}

}  // namespace guerdon::generate
