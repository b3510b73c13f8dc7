#include "guerdon/ops/attention.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <tuple>
#include <vector>

#include "guerdon/base/error.h"
#include "kernels/cpu/kernels.h"
#include "ops/attention_reference.h"
#include "ops/inputs.h"

namespace guerdon::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Segments = std::vector<AttentionSegment>;

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

/// The segments from the root down to `i`, itself included.
std::vector<int64_t> lineage(const Segments& segments, int64_t i) {
  std::vector<int64_t> path;
  for (; i >= 0; i = segments[static_cast<size_t>(i)].parent) path.push_back(i);
  std::reverse(path.begin(), path.end());
  return path;
}

int64_t length(const AttentionSegment& s) { return s.end - s.begin; }

/// Runs of keys and values of head `h` along a lineage.
template <class T>
std::vector<kernels::KeyRun<T>> runs_of(const Tensor& k, const Tensor& v, const Segments& segments,
                                        const std::vector<int64_t>& path, int64_t h) {
  std::vector<kernels::KeyRun<T>> runs;
  for (const int64_t i : path) {
    const AttentionSegment& s = segments[static_cast<size_t>(i)];
    if (length(s) == 0) continue;
    runs.push_back({k.const_data_ptr<T>() + s.begin * k.stride(0) + h * k.stride(1),
                    v.const_data_ptr<T>() + s.begin * v.stride(0) + h * v.stride(1), k.stride(0),
                    v.stride(0), length(s)});
  }
  return runs;
}

template <class T>
kernels::AttentionRows<T> rows_of(const Tensor& q, int64_t h, int64_t group,
                                  const AttentionOptions& o) {
  return {.runs = nullptr,
          .run_count = 0,
          .width = q.size(2),
          .scale = o.scale > 0 ? o.scale : 1.0 / std::sqrt(static_cast<double>(q.size(2))),
          .softcap = o.softcap,
          .window = o.window,
          .causal = o.causal,
          .queries = 0,
          .heads = group,
          .first = 0,
          .query = q.const_data_ptr<T>() + h * group * q.stride(1),
          .query_stride = q.stride(0),
          .head_stride = q.stride(1)};
}

/// Runs tasks 0 .. count-1, the costly ones first, each on whichever thread is free. Tasks write
/// apart from each other, so the order does not show.
void run_tasks(const std::vector<int64_t>& costs, const std::function<void(int64_t)>& task) {
  std::vector<int64_t> order(costs.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return costs[static_cast<size_t>(a)] > costs[static_cast<size_t>(b)];
  });
  std::atomic<size_t> next{0};
  at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (size_t at; (at = next.fetch_add(1)) < order.size();) task(order[at]);
    }
  });
}

template <class T>
void forward_rows(const kernels::AttentionForward<T>& f) {
  if constexpr (std::is_same_v<T, float>) {
    kernels::kernels().attention_forward_float(f);
  } else {
    kernels::kernels().attention_forward_double(f);
  }
}

template <class T>
void forward_pass(const Tensor& q, const Tensor& k, const Tensor& v, const Segments& segments,
                  const AttentionOptions& options, Tensor& out, Tensor& lse) {
  constexpr int64_t kQueries = 128;  // a task
  struct Task {
    int64_t segment, head, first, count;
  };
  const int64_t key_heads = k.size(1), group = q.size(1) / key_heads;
  std::vector<Task> tasks;
  std::vector<int64_t> costs, offsets(segments.size());
  for (size_t i = 0; i < segments.size(); ++i) {
    for (const int64_t ancestor : lineage(segments, segments[i].parent)) {
      offsets[i] += length(segments[static_cast<size_t>(ancestor)]);
    }
    for (int64_t first = 0; first < length(segments[i]); first += kQueries) {
      const int64_t count = std::min(kQueries, length(segments[i]) - first);
      for (int64_t h = 0; h < key_heads; ++h) {
        tasks.push_back({static_cast<int64_t>(i), h, first, count});
        costs.push_back(count * (offsets[i] + first + count));
      }
    }
  }
  run_tasks(costs, [&](int64_t index) {
    const Task& t = tasks[static_cast<size_t>(index)];
    const auto runs = runs_of<T>(k, v, segments, lineage(segments, t.segment), t.head);
    const int64_t token = segments[static_cast<size_t>(t.segment)].begin + t.first;
    kernels::AttentionForward<T> f{};
    f.rows = rows_of<T>(q, t.head, group, options);
    f.rows.runs = runs.data();
    f.rows.run_count = static_cast<int64_t>(runs.size());
    f.rows.queries = t.count;
    f.rows.first = offsets[static_cast<size_t>(t.segment)] + t.first;
    f.rows.query += token * q.stride(0);
    f.out = out.data_ptr<T>() + token * out.stride(0) + t.head * group * out.stride(1);
    f.out_stride = out.stride(0);
    f.out_head_stride = out.stride(1);
    f.lse = lse.data_ptr<T>() + token * lse.stride(0) + t.head * group;
    f.lse_stride = lse.stride(0);
    forward_rows(f);
  });
}

template <class T>
void backward_pass(const Tensor& q, const Tensor& k, const Tensor& v, const Segments& segments,
                   const AttentionOptions& options, const Tensor& out, const Tensor& lse,
                   const Tensor& d_out, Tensor& dq, Tensor& dk, Tensor& dv) {
  // A task is one tree of segments and one key head: nobody else adds to its keys. Within it the
  // segments come in order, so a key gets the sum over its own segment first, then over its
  // children in child order.
  const int64_t key_heads = k.size(1), group = q.size(1) / key_heads;
  std::vector<std::vector<int64_t>> trees;
  std::vector<size_t> tree_of(segments.size());
  std::vector<int64_t> offsets(segments.size(), 0), tree_costs;
  for (size_t i = 0; i < segments.size(); ++i) {
    const AttentionSegment& s = segments[i];
    if (s.parent < 0) {
      tree_of[i] = trees.size();
      trees.emplace_back();
      tree_costs.push_back(0);
    } else {
      const auto p = static_cast<size_t>(s.parent);
      tree_of[i] = tree_of[p];
      offsets[i] = offsets[p] + length(segments[p]);
    }
    trees[tree_of[i]].push_back(static_cast<int64_t>(i));
    tree_costs[tree_of[i]] += length(s) * (offsets[i] + length(s));
  }
  std::vector<int64_t> costs;
  for (const int64_t cost : tree_costs) {
    costs.insert(costs.end(), static_cast<size_t>(key_heads), cost);
  }
  run_tasks(costs, [&](int64_t index) {
    const int64_t h = index % key_heads;
    for (const int64_t i : trees[static_cast<size_t>(index / key_heads)]) {
      const AttentionSegment& s = segments[static_cast<size_t>(i)];
      if (length(s) == 0) continue;
      const std::vector<int64_t> path = lineage(segments, i);
      const auto runs = runs_of<T>(k, v, segments, path, h);
      const auto d_runs = runs_of<T>(dk, dv, segments, path, h);
      kernels::AttentionBackward<T> f{};
      f.rows = rows_of<T>(q, h, group, options);
      f.rows.runs = runs.data();
      f.rows.run_count = static_cast<int64_t>(runs.size());
      f.rows.queries = length(s);
      f.rows.first = offsets[static_cast<size_t>(i)];
      f.rows.query += s.begin * q.stride(0);
      const int64_t at_out = s.begin * out.stride(0) + h * group * out.stride(1);
      f.out = out.const_data_ptr<T>() + at_out;
      f.d_out = d_out.const_data_ptr<T>() + at_out;
      f.out_stride = out.stride(0);
      f.out_head_stride = out.stride(1);
      f.lse = lse.const_data_ptr<T>() + s.begin * lse.stride(0) + h * group;
      f.lse_stride = lse.stride(0);
      f.d_query = dq.data_ptr<T>() + s.begin * dq.stride(0) + h * group * dq.stride(1);
      f.d_query_stride = dq.stride(0);
      f.d_head_stride = dq.stride(1);
      f.d_runs = d_runs.data();
      if constexpr (std::is_same_v<T, float>) {
        kernels::kernels().attention_backward_float(f);
      } else {
        kernels::kernels().attention_backward_double(f);
      }
    }
  });
}

/// In the arithmetic's dtype, with a contiguous last dimension.
Tensor readable(const Tensor& x, at::ScalarType type) {
  const Tensor wide = x.to(type);
  return wide.stride(-1) == 1 || wide.size(-1) == 1 ? wide : wide.contiguous();
}

/// Those of another device, where they take queries of this type and width.
const DeviceKernels* kernels_for(const Tensor& q) {
  const bool fits = q.scalar_type() != at::kDouble && q.size(2) <= kDeviceAttentionWidth;
  return fits ? device_kernels(q) : nullptr;
}

class PackedAttention : public torch::autograd::Function<PackedAttention> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Segments& segments, const AttentionOptions& options) {
    const at::ScalarType type = at_least_float(q);
    const Tensor query = readable(q, type), key = readable(k, type), value = readable(v, type);
    Tensor out = at::empty(q.sizes(), query.options()),
           lse = at::empty({q.size(0), q.size(1)}, query.options());
    if (const DeviceKernels* device = kernels_for(query)) {
      std::tie(out, lse) = device->attention_forward(query, key, value, segments, options);
    } else if (type == at::kDouble) {
      forward_pass<double>(query, key, value, segments, options, out, lse);
    } else {
      forward_pass<float>(query, key, value, segments, options, out, lse);
    }
    context->save_for_backward({query, key, value, out, lse});
    context->saved_data["options"] =
        std::vector<double>{options.scale, options.softcap, static_cast<double>(options.window),
                            options.causal ? 1.0 : 0.0};
    std::vector<int64_t> flat;
    for (const AttentionSegment& s : segments) flat.insert(flat.end(), {s.begin, s.end, s.parent});
    context->saved_data["segments"] = flat;
    return out.to(q.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &q = saved[0], &k = saved[1], &v = saved[2], &out = saved[3], &lse = saved[4];
    const std::vector<double> o = context->saved_data["options"].toDoubleVector();
    const AttentionOptions options{
        .scale = o[0], .softcap = o[1], .window = static_cast<int64_t>(o[2]), .causal = o[3] != 0};
    const std::vector<int64_t> flat = context->saved_data["segments"].toIntVector();
    Segments segments;
    for (size_t i = 0; i < flat.size(); i += 3) {
      segments.push_back({flat[i], flat[i + 1], flat[i + 2]});
    }
    const Tensor d_out = gradients[0].to(q.scalar_type()).contiguous();
    const at::ScalarType type = gradients[0].scalar_type();
    if (const DeviceKernels* device = kernels_for(q)) {
      const AttentionGradient d =
          device->attention_backward(q, k, v, out, lse, d_out, segments, options);
      return {d.query.to(type), d.key.to(type), d.value.to(type), {}, {}};
    }
    Tensor dq = at::empty(q.sizes(), q.options()), dk = at::zeros(k.sizes(), k.options()),
           dv = at::zeros(v.sizes(), v.options());
    if (q.scalar_type() == at::kDouble) {
      backward_pass<double>(q, k, v, segments, options, out, lse, d_out, dq, dk, dv);
    } else {
      backward_pass<float>(q, k, v, segments, options, out, lse, d_out, dq, dk, dv);
    }
    return {dq.to(type), dk.to(type), dv.to(type), {}, {}};
  }
};

template <class T>
void decode_pass(const Tensor& q, const Tensor& keys, const Tensor& values, const Tensor& lengths,
                 const AttentionOptions& options, Tensor& out) {
  const int64_t key_heads = keys.size(2), group = q.size(1) / key_heads;
  const auto* length = lengths.const_data_ptr<int64_t>();
  at::parallel_for(0, q.size(0) * key_heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t n = task / key_heads, h = task % key_heads;
      const kernels::KeyRun<T> run{
          keys.const_data_ptr<T>() + n * keys.stride(0) + h * keys.stride(2),
          values.const_data_ptr<T>() + n * values.stride(0) + h * values.stride(2), keys.stride(1),
          values.stride(1), length[n]};
      kernels::AttentionForward<T> f{};
      f.rows = rows_of<T>(q, h, group, options);
      f.rows.runs = &run;
      f.rows.run_count = 1;
      f.rows.queries = 1;
      f.rows.first = length[n] - 1;
      f.rows.query += n * q.stride(0);
      f.out = out.data_ptr<T>() + n * out.stride(0) + h * group * out.stride(1);
      f.out_stride = out.stride(0);
      f.out_head_stride = out.stride(1);
      forward_rows(f);
    }
  });
}

}  // namespace

Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                        std::span<const AttentionSegment> segments,
                        const AttentionOptions& options) {
  check(q, k, v, segments, options);
  if (!q.is_cpu() && !kernels_for(q)) return packed_attention_reference(q, k, v, segments, options);
  return PackedAttention::apply(q, k, v, Segments(segments.begin(), segments.end()), options);
}

Tensor decode_attention(const Tensor& q, const Tensor& keys, const Tensor& values,
                        const Tensor& lengths, const AttentionOptions& options) {
  GUERDON_CHECK(q.dim() == 3 && keys.dim() == 4 && keys.size(0) == q.size(0) &&
                    values.sizes() == keys.sizes() && keys.size(3) == q.size(2) &&
                    keys.size(2) > 0 && q.size(1) % keys.size(2) == 0 &&
                    lengths.numel() == q.size(0) && lengths.scalar_type() == at::kLong,
                "decode_attention: q ", q.sizes(), ", keys ", keys.sizes(), ", values ",
                values.sizes(), ", lengths ", lengths.sizes(), " do not fit");
  const DeviceKernels* device = kernels_for(q);
  if (!q.is_cpu() && !device) {
    return decode_attention(q.cpu(), keys.cpu(), values.cpu(), lengths.cpu(), options)
        .to(q.device());
  }
  if (q.size(0) > 0 && lengths.is_cpu()) {  // those of another device would have to be waited for
    const auto [least, most] = lengths.aminmax();
    GUERDON_CHECK(least.item<int64_t>() >= 1 && most.item<int64_t>() <= keys.size(1),
                  "decode_attention: lengths must lie in [1, ", keys.size(1), "]");
  }
  const at::ScalarType type = at_least_float(q);
  const Tensor query = readable(q.detach(), type), key = readable(keys.detach(), type),
               value = readable(values.detach(), type), length = lengths.contiguous();
  if (device)
    return device->decode_attention(query, key, value, length, options).to(q.scalar_type());
  Tensor out = at::empty(q.sizes(), query.options());
  if (type == at::kDouble) {
    decode_pass<double>(query, key, value, length, options, out);
  } else {
    decode_pass<float>(query, key, value, length, options, out);
  }
  return out.to(q.scalar_type());
}

}  // namespace guerdon::ops
