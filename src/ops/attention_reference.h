/// The plain form of packed attention: kept beside the fast one as its reference in the tests.
#pragma once

#include "guerdon/ops/attention.h"

namespace guerdon::ops {

/// packed_attention as a composition of ATen calls, one softmax(q k^T) v per segment over
/// [ancestors, segment]. Differentiable twice.
Tensor packed_attention_reference(const Tensor& q, const Tensor& k, const Tensor& v,
                                  std::span<const AttentionSegment> segments,
                                  const AttentionOptions& options);

}  // namespace guerdon::ops
