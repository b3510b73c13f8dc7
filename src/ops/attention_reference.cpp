#include "ops/attention_reference.h"

#include <cmath>
#include <limits>
#include <vector>

#include "ops/inputs.h"

namespace guerdon::ops {

Tensor packed_attention_reference(const Tensor& q, const Tensor& k, const Tensor& v,
                                  std::span<const AttentionSegment> segments,
                                  const AttentionOptions& options) {
  const int64_t heads = q.size(1), width = q.size(2), groups = heads / k.size(1);
  const double scale =
      options.scale > 0 ? options.scale : 1.0 / std::sqrt(static_cast<double>(width));
  const at::ScalarType arithmetic = at_least_float(q);

  std::vector<Tensor> outputs;
  for (const AttentionSegment& segment : segments) {
    const int64_t length = segment.end - segment.begin;
    if (length == 0) continue;
    std::vector<Tensor> keys{k.slice(0, segment.begin, segment.end)},
        values{v.slice(0, segment.begin, segment.end)};
    int64_t before = 0;
    for (int64_t a = segment.parent; a >= 0; a = segments[static_cast<size_t>(a)].parent) {
      const AttentionSegment& ancestor = segments[static_cast<size_t>(a)];
      keys.insert(keys.begin(), k.slice(0, ancestor.begin, ancestor.end));
      values.insert(values.begin(), v.slice(0, ancestor.begin, ancestor.end));
      before += ancestor.end - ancestor.begin;
    }
    // [heads, length, before + length]
    const Tensor key = at::cat(keys).to(arithmetic).repeat_interleave(groups, 1).permute({1, 2, 0});
    const Tensor value =
        at::cat(values).to(arithmetic).repeat_interleave(groups, 1).permute({1, 0, 2});
    const Tensor query = q.slice(0, segment.begin, segment.end).to(arithmetic).permute({1, 0, 2});
    Tensor score = at::matmul(query, key) * scale;
    if (options.softcap > 0) score = options.softcap * at::tanh(score / options.softcap);

    const Tensor from =
        at::arange(before, before + length, q.options().dtype(at::kLong)).unsqueeze(1);
    const Tensor to = at::arange(before + length, q.options().dtype(at::kLong)).unsqueeze(0);
    const Tensor distance = from - to;
    Tensor hidden = options.causal ? distance < 0 : at::zeros_like(distance, at::kBool);
    if (options.window > 0) {
      hidden = hidden |
               (options.causal ? distance >= options.window : distance.abs() > options.window / 2);
    }
    score = score.masked_fill(hidden, -std::numeric_limits<double>::infinity());
    outputs.push_back(
        at::matmul(at::softmax(score, -1), value).permute({1, 0, 2}).to(q.scalar_type()));
  }
  return outputs.empty() ? at::zeros_like(q) : at::cat(outputs);
}

}  // namespace guerdon::ops
