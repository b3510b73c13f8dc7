#include <cmath>
#include <vector>

#include "kernels/cuda/tensors.h"

namespace guerdon::ops::cuda {
namespace {

using Segments = std::span<const AttentionSegment>;

/// device::PackedTokens of some segments, and the one piece of memory that they point to.
class Tokens {
 public:
  Tokens(Segments segments, const Tensor& beside) {
    const auto count = segments.size();
    const int64_t tokens = count == 0 ? 0 : segments[count - 1].end;
    std::vector<int64_t> segment, position, begin{0}, first_span{0}, first_reader{0}, readers,
        spans;
    std::vector<std::vector<int64_t>> lineage(count), read_by(count);
    for (size_t s = 0; s < count; ++s) {
      const AttentionSegment& own = segments[s];
      if (own.parent >= 0) lineage[s] = lineage[static_cast<size_t>(own.parent)];
      lineage[s].push_back(static_cast<int64_t>(s));
      int64_t logical = 0;
      for (const int64_t i : lineage[s]) {
        const AttentionSegment& part = segments[static_cast<size_t>(i)];
        read_by[static_cast<size_t>(i)].push_back(static_cast<int64_t>(s));
        if (part.end == part.begin) continue;
        spans.insert(spans.end(), {logical, part.begin, part.end - part.begin});
        logical += part.end - part.begin;
      }
      first_span.push_back(static_cast<int64_t>(spans.size()) / 3);
      begin.push_back(own.end);
      for (int64_t t = own.begin; t < own.end; ++t) {
        segment.push_back(static_cast<int64_t>(s));
        position.push_back(logical - (own.end - t));
      }
    }
    for (const std::vector<int64_t>& list : read_by) {
      readers.insert(readers.end(), list.begin(), list.end());
      first_reader.push_back(static_cast<int64_t>(readers.size()));
    }
    std::vector<int64_t> all;
    std::vector<size_t> places;
    for (const auto* list :
         {&segment, &position, &begin, &first_span, &first_reader, &readers, &spans}) {
      places.push_back(all.size());
      all.insert(all.end(), list->begin(), list->end());
    }
    memory_ = at::tensor(all, at::kLong).to(beside.device());
    const auto* first = data<const int64_t>(memory_);
    static_assert(sizeof(device::KeySpan) == 3 * sizeof(int64_t));
    on_device = {.tokens = tokens,
                 .segment = first + places[0],
                 .position = first + places[1],
                 .begin = first + places[2],
                 .first_span = first + places[3],
                 .first_reader = first + places[4],
                 .readers = first + places[5],
                 .spans = reinterpret_cast<const device::KeySpan*>(first + places[6])};
  }
  device::PackedTokens on_device;

 private:
  Tensor memory_;
};

device::AttentionNumbers numbers_of(const Tensor& q, int64_t key_heads, const AttentionOptions& o) {
  const double scale = o.scale > 0 ? o.scale : 1.0 / std::sqrt(static_cast<double>(q.size(2)));
  return {.width = static_cast<int>(q.size(2)),
          .scale = static_cast<float>(scale),
          .softcap = static_cast<float>(o.softcap),
          .window = o.window,
          .causal = o.causal,
          .heads = q.size(1),
          .key_heads = key_heads};
}

device::AttentionTensors tensors_of(const Tensor& q, const Tensor& k, const Tensor& v,
                                    int64_t token_dimension) {
  return {.query = data<const float>(q),
          .key = data<const float>(k),
          .value = data<const float>(v),
          .query_stride = q.stride(0),
          .query_head = q.stride(1),
          .key_stride = k.stride(token_dimension),
          .key_head = k.stride(token_dimension + 1),
          .value_stride = v.stride(token_dimension),
          .value_head = v.stride(token_dimension + 1)};
}

}  // namespace

std::pair<Tensor, Tensor> attention_forward(const Tensor& q, const Tensor& k, const Tensor& v,
                                            Segments segments, const AttentionOptions& options) {
  const Tokens tokens(segments, q);
  Tensor out = at::empty(q.sizes(), q.options()),
         lse = at::empty({q.size(0), q.size(1)}, q.options());
  on_device_of("packed_attention", q, [&](cudaStream_t stream) {
    device::attention_forward(numbers_of(q, k.size(1), options), tokens.on_device,
                              tensors_of(q, k, v, 0), data<float>(out), data<float>(lse), stream);
  });
  return {out, lse};
}

AttentionGradient attention_backward(const Tensor& q, const Tensor& k, const Tensor& v,
                                     const Tensor& out, const Tensor& lse, const Tensor& d_out,
                                     Segments segments, const AttentionOptions& options) {
  const Tokens tokens(segments, q);
  const auto like = [](const Tensor& x) { return at::empty(x.sizes(), x.options()); };
  AttentionGradient d{like(q), like(k), like(v)};
  Tensor mean = like(lse);
  on_device_of("packed_attention", q, [&](cudaStream_t stream) {
    device::attention_backward(numbers_of(q, k.size(1), options), tokens.on_device,
                               tensors_of(q, k, v, 0),
                               {.out = data<const float>(out),
                                .lse = data<const float>(lse),
                                .d_out = data<const float>(d_out),
                                .d_query = data<float>(d.query),
                                .d_key = data<float>(d.key),
                                .d_value = data<float>(d.value),
                                .mean = data<float>(mean)},
                               stream);
  });
  return d;
}

Tensor decode_attention(const Tensor& q, const Tensor& keys, const Tensor& values,
                        const Tensor& lengths, const AttentionOptions& options) {
  Tensor out = at::empty(q.sizes(), q.options());
  on_device_of("decode_attention", q, [&](cudaStream_t stream) {
    device::decode_attention(numbers_of(q, keys.size(2), options), tensors_of(q, keys, values, 1),
                             q.size(0), keys.stride(0), values.stride(0),
                             data<const int64_t>(lengths), data<float>(out), stream);
  });
  return out;
}

}  // namespace guerdon::ops::cuda
