/// Private to `ops`: hidden states times an LM head, one chunk of rows at a time, and the gradients
/// of that product.
#pragma once

#include <ATen/ATen.h>

#include "guerdon/ops/token_stats.h"

namespace guerdon::ops {

/// Throws unless hidden [N, H], weight [V, H], bias [V] or undefined fit.
void check_head(const char* who, const Tensor& hidden, const Tensor& weight, const Tensor& bias);

/// hidden W^T + bias of some rows: [n, V] float32 or float64, contiguous, a temporary of the
/// caller's.
Tensor chunk_logits(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                    const HeadOptions& options);

/// Bytes of a row of logits.
int64_t logit_row_bytes(const Tensor& hidden, const Tensor& weight);

/// Rows for each chunk, so that `copies` chunks of logits fit in the workspace; at least 16.
int64_t chunk_rows(int64_t row_bytes, const HeadOptions& options, int64_t copies = 1);

/// Sums the gradients of hidden W^T + bias over chunks, in chunk order.
class HeadGradients {
 public:
  HeadGradients(const Tensor& hidden, const Tensor& weight, const Tensor& bias, bool of_hidden,
                bool of_weight, bool of_bias);
  /// The gradient of the logits of rows [begin, begin + n).
  void add(int64_t begin, const Tensor& d_logits);
  /// In the types of their inputs; undefined where not wanted. Call once.
  Tensor hidden() const { return d_hidden_; }
  Tensor weight() const;
  Tensor bias() const;

 private:
  Tensor hidden_, weight_, bias_, d_hidden_, d_weight_, d_bias_;
  bool first_ = true;
};

}  // namespace guerdon::ops
