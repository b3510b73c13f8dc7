#include "guerdon/ops/attention.h"

#include <cmath>

#include "guerdon/base/error.h"
#include "ops/attention_reference.h"

namespace guerdon::ops {
namespace {

void check(const Tensor& q, const Tensor& k, const Tensor& v,
           std::span<const AttentionSegment> segments, const AttentionOptions& options) {
  GUERDON_CHECK(q.dim() == 3 && k.dim() == 3 && k.sizes() == v.sizes() && q.size(0) == k.size(0) &&
                    q.size(2) == k.size(2) && k.size(1) > 0 && q.size(1) % k.size(1) == 0,
                "packed_attention: q ", q.sizes(), ", k ", k.sizes(), ", v ", v.sizes(),
                " do not fit");
  GUERDON_CHECK(q.scalar_type() == k.scalar_type() && q.scalar_type() == v.scalar_type(),
                "packed_attention: q, k and v differ in dtype");
  int64_t at = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    const AttentionSegment& s = segments[i];
    GUERDON_CHECK(s.begin == at && s.end >= s.begin, "packed_attention: segment ", i, " is [",
                  s.begin, ", ", s.end, "), expected begin ", at);
    GUERDON_CHECK(s.parent < static_cast<int64_t>(i), "packed_attention: segment ", i,
                  " has parent ", s.parent, ", which is not before it");
    GUERDON_CHECK(options.causal || s.parent < 0,
                  "packed_attention: the encoder form shares nothing, segment ", i,
                  " has a parent");
    at = s.end;
  }
  GUERDON_CHECK(at == q.size(0), "packed_attention: segments cover ", at, " of ", q.size(0),
                " tokens");
}

}  // namespace

Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                        std::span<const AttentionSegment> segments,
                        const AttentionOptions& options) {
  check(q, k, v, segments, options);
  return packed_attention_reference(q, k, v, segments, options);
}

Tensor decode_attention(const Tensor& q, const Tensor& keys, const Tensor& values,
                        const Tensor& lengths, const AttentionOptions& options) {
  const int64_t n = q.size(0), heads = q.size(1), width = q.size(2), groups = heads / keys.size(2),
                capacity = keys.size(1);
  GUERDON_CHECK(keys.size(0) == n && lengths.numel() == n && values.sizes() == keys.sizes(),
                "decode_attention: ", n, " queries, keys ", keys.sizes(), ", values ",
                values.sizes(), ", lengths ", lengths.sizes());
  const double scale =
      options.scale > 0 ? options.scale : 1.0 / std::sqrt(static_cast<double>(width));
  const Tensor query = q.to(at::kFloat).reshape({n, heads / groups, groups, width});
  Tensor score = at::einsum("nhgd,nthd->nhgt", {query, keys.to(at::kFloat)}) * scale;
  if (options.softcap > 0) score = options.softcap * at::tanh(score / options.softcap);
  const Tensor position = at::arange(capacity, lengths.options()).unsqueeze(0),
               length = lengths.unsqueeze(1);
  Tensor hidden = position >= length;
  if (options.window > 0) hidden = hidden | (position < length - options.window);
  score =
      score.masked_fill(hidden.unsqueeze(1).unsqueeze(1), -std::numeric_limits<double>::infinity());
  // What lies past a row's length may be anything, NaN included.
  const Tensor value =
      values.to(at::kFloat).masked_fill((position >= length).unsqueeze(-1).unsqueeze(-1), 0);
  return at::einsum("nhgt,nthd->nhgd", {at::softmax(score, -1), value})
      .reshape({n, heads, width})
      .to(q.scalar_type());
}

}  // namespace guerdon::ops
