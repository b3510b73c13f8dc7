/// Attention over packed sequences with shared prefixes.
#pragma once

#include <cstdint>
#include <span>

#include "guerdon/ops/tensor.h"

namespace guerdon::ops {

/// Tokens [begin, end) of a packed batch; `parent` is the index of an earlier segment or -1.
struct AttentionSegment {
  int64_t begin, end;
  int64_t parent = -1;
};

struct AttentionOptions {
  double scale = 0.0;    ///< of q.k; 0: 1 / sqrt(D)
  double softcap = 0.0;  ///< c > 0: s -> c tanh(s / c)
  int64_t window = 0;    ///< w > 0: a query sees the last w logical positions, itself included;
                         ///< encoders: abs(t - j) <= w / 2
  bool causal = true;    ///< false: the encoder form; every token sees its whole segment, and a
                         ///< parent is an error
};

/// Attention of each token over its ancestors' tokens and the earlier tokens of its own segment
/// (kernels.md F23).
///
/// q [T, Hq, D], k and v [T, Hkv, D], Hkv divides Hq: query head h reads key head h / (Hq / Hkv). A
/// token's sequence is its ancestors' tokens followed by its own; logical positions count along it.
/// Returns [T, Hq, D]. Differentiable. A row depends on its own sequence only, never on its
/// neighbours in the batch. No [T, T] buffer. Throws Error (Kind::bug) when shapes, segments or
/// dtypes disagree.
Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                        std::span<const AttentionSegment> segments,
                        const AttentionOptions& options = {});

/// One decode step: query n reads the first lengths[n] keys of its own cache row.
///
/// q [N, Hq, D]; keys and values [N, capacity, Hkv, D] (any strides with a contiguous last
/// dimension); lengths [N] int64, counting the query's own key, which must have been written.
/// Returns [N, Hq, D]. Not differentiable.
Tensor decode_attention(const Tensor& q, const Tensor& keys, const Tensor& values,
                        const Tensor& lengths, const AttentionOptions& options = {});

}  // namespace guerdon::ops
