/// Tables of rotary position embeddings, with the scalings of Transformers' modeling_rope_utils.
#pragma once

#include "guerdon/data/hf_config.h"
#include "guerdon/ops/tensor.h"

namespace guerdon::model {

/// Cosines and sines [T, R / 2] float32 of the angles position x inverse frequency.
struct RotaryTables {
  Tensor cosine, sine;
};

/// One set of frequencies. `dynamic` and `longrope` depend on the length of the longest sequence in
/// the batch, as in Transformers; all others on the position alone.
class Rotary {
 public:
  explicit Rotary(const data::Rope& rope);
  bool depends_on_length() const;
  /// `length`: largest position + 1 (only looked at when depends_on_length()).
  RotaryTables tables(const Tensor& positions, int64_t length) const;

 private:
  Tensor inverse_frequencies(int64_t length) const;
  data::Rope rope_;
  Tensor fixed_, long_;  // [R / 2]
};

}  // namespace guerdon::model
