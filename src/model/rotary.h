/// Tables of rotary position embeddings, with the scalings of Transformers' modeling_rope_utils.
#pragma once

#include "guerdon/data/hf_config.h"
#include "guerdon/ops/tensor.h"

namespace guerdon::model {

/// Cosines and sines [T, R / 2] float32 of the angles position x inverse frequency.
struct RotaryTables {
  Tensor cosine, sine;
};

/// One set of frequencies. Those of `dynamic` and `longrope` depend on how long the token's
/// sequence is, all others on the position alone.
class Rotary {
 public:
  explicit Rotary(const data::Rope& rope);
  bool depends_on_length() const;
  /// positions [T] int64; `lengths` [T] int64: of each token's sequence, only looked at when
  /// depends_on_length().
  RotaryTables tables(const Tensor& positions, const Tensor& lengths) const;

 private:
  Tensor inverse_frequencies(const Tensor& lengths) const;  // [R / 2] or [T, R / 2]
  data::Rope rope_;
  Tensor fixed_, long_;  // [R / 2]
};

}  // namespace guerdon::model
