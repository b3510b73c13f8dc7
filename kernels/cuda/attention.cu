// Packed attention (kernels.md F23), one warp a row. A warp goes through the keys in blocks of 64
// logical positions, in order; of each block a lane makes the scores of two keys, and then holds
// some dimensions of the accumulator. So a row's bits depend on its own sequence alone: packed,
// prompt shared or repeated, or one query at a time over a cache. The backward pass does the same
// with queries in the place of keys: no atomics.
#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"

namespace guerdon::kernels::cuda {
namespace {

constexpr int kBlock = 64;                        ///< logical positions
constexpr int kPieces = kAttentionWidth / kWarp;  ///< dimensions a lane holds
constexpr int kOwn = kBlock / kWarp;              ///< scores of a block that a lane makes
constexpr unsigned kAll = 0xffffffffu;

__device__ int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
/// Number of this warp among all.
__device__ int64_t warp() { return own_element() / kWarp; }

template <class Op, class T>
__device__ T reduce_warp(T value, Op op) {
  for (int step = kWarp / 2; step > 0; step /= 2)
    value = op(value, __shfl_xor_sync(kAll, value, step));
  return value;
}

/// A vector of `width` numbers: lane l holds the dimensions l, l + 32, ...
struct Spread {
  float at[kPieces] = {};

  __device__ void store(float* to, int width, float times) const {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      if (dimension(i) < width) to[dimension(i)] = at[i] * times;
    }
  }
  __device__ void add(float times, const float* from, int width) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      if (dimension(i) < width) at[i] += times * from[dimension(i)];
    }
  }
  __device__ static int dimension(int i) { return i * kWarp + lane(); }
};

__device__ float dot(const float* a, const float* b, int width) {
  float sum = 0;
  for (int d = 0; d < width; ++d) sum += a[d] * b[d];
  return sum;
}

/// Score of a query's product with a key: scale, softcap.
__device__ float score_of(const AttentionNumbers& o, float product) {
  const float s = product * o.scale;
  return o.softcap > 0 ? o.softcap * tanhf(s / o.softcap) : s;
}
/// d of the product, where d_probability is that of p and `mean` the row's sum of p d_probability.
__device__ float d_product(const AttentionNumbers& o, float score, float p, float d_probability,
                           float mean) {
  const float share = o.softcap > 0 ? score / o.softcap : 0;
  return p > 0 ? p * (d_probability - mean) * o.scale * (1.0f - share * share) : 0;
}
__device__ bool visible(const AttentionNumbers& o, int64_t query, int64_t key) {
  if (o.causal) return key <= query && (o.window == 0 || query - key < o.window);
  return o.window == 0 || (query - key <= o.window / 2 && key - query <= o.window / 2);
}
/// Logical positions [first, last) of `keys` that hold all that the query may see.
struct Range {
  int64_t first, last;
  __device__ Range(const AttentionNumbers& o, int64_t query, int64_t keys) : first(0), last(keys) {
    const int64_t reach = o.causal ? o.window - 1 : o.window / 2;
    if (o.window > 0) first = query - reach > 0 ? query - reach : 0;
    if (o.causal) {
      last = min(query + 1, keys);
    } else if (o.window > 0) {
      last = min(query + reach + 1, keys);
    }
  }
};

/// Where the keys of a sequence lie: along the segments from the root to this one.
struct PackedKeys {
  const KeySpan* spans;
  int64_t count;
  __device__ int64_t size() const {
    return count == 0 ? 0 : spans[count - 1].position + spans[count - 1].length;
  }
  __device__ int64_t token(int64_t position) const {
    int64_t i = 0;
    while (position >= spans[i].position + spans[i].length) ++i;
    return spans[i].token + position - spans[i].position;
  }
};
/// Of a cache: one after the other.
struct CachedKeys {
  int64_t length;
  __device__ int64_t size() const { return length; }
  __device__ int64_t token(int64_t position) const { return position; }
};

/// The keys and values of a key head: token t at key + t key_stride.
struct Head {
  const float *key, *value;
  int64_t key_stride, value_stride;
};

/// One row forward. `query` is in shared memory.
template <class Keys>
__device__ void forward_row(const AttentionNumbers& o, const float* query, int64_t position,
                            const Keys& keys, const Head& head, float* out, float* lse) {
  Spread sum;
  float top = -kInfinity, total = 0;
  const Range range(o, position, keys.size());
  for (int64_t begin = range.first / kBlock * kBlock; begin < range.last; begin += kBlock) {
    float score[kOwn], highest = -kInfinity;
    int64_t token[kOwn];
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int64_t j = begin + i * kWarp + lane();
      const bool seen = j < range.last && visible(o, position, j);
      token[i] = seen ? keys.token(j) : 0;
      score[i] = seen ? score_of(o, dot(query, head.key + token[i] * head.key_stride, o.width))
                      : -kInfinity;
      highest = fmaxf(highest, score[i]);
    }
    const float raised = fmaxf(top, reduce_warp(highest, Max()));
    const float shift = raised == -kInfinity ? 0 : raised;  // a row of -infinity: all p are 0
    const float rescale = top == -kInfinity ? 0 : exponential(top - shift);
    float block_total = 0;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      score[i] = exponential(score[i] - shift);
      block_total += score[i];
    }
    total = total * rescale + reduce_warp(block_total, Sum());
    top = raised;
    for (float& x : sum.at) x *= rescale;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
#pragma unroll 4
      for (int l = 0; l < kWarp; ++l) {
        const float p = __shfl_sync(kAll, score[i], l);
        const int64_t t = __shfl_sync(kAll, token[i], l);
        if (p != 0) sum.add(p, head.value + t * head.value_stride, o.width);
      }
    }
  }
  sum.store(out, o.width, total == 0 ? 0 : 1.0f / total);
  if (lse && lane() == 0) *lse = top + logf(total);
}

/// Copies a row for the whole warp to read.
__device__ void share(const float* from, int width, float* to) {
  for (int d = lane(); d < width; d += kWarp) to[d] = from[d];
  __syncwarp();
}

__global__ void __launch_bounds__(kThreads, kAtOnce)
    forward_kernel(AttentionNumbers o, PackedTokens t, AttentionTensors in, float* out,
                   float* lse) {
  __shared__ float queries[kWarps][kAttentionWidth];
  const int64_t token = warp() / o.heads, h = warp() % o.heads;
  if (token >= t.tokens) return;
  const int64_t s = t.segment[token], group = h / (o.heads / o.key_heads);
  float* query = queries[threadIdx.x / kWarp];
  share(in.query + token * in.query_stride + h * in.query_head, o.width, query);
  const PackedKeys keys{t.spans + t.first_span[s], t.first_span[s + 1] - t.first_span[s]};
  const int64_t row = token * o.heads + h;
  forward_row(o, query, t.position[token], keys,
              {in.key + group * in.key_head, in.value + group * in.value_head, in.key_stride,
               in.value_stride},
              out + row * o.width, lse + row);
}

__global__ void __launch_bounds__(kThreads, kAtOnce)
    decode_kernel(AttentionNumbers o, AttentionTensors in, int64_t sequences, int64_t key_sequence,
                  int64_t value_sequence, const int64_t* lengths, float* out) {
  __shared__ float queries[kWarps][kAttentionWidth];
  const int64_t n = warp() / o.heads, h = warp() % o.heads;
  if (n >= sequences) return;
  const int64_t group = h / (o.heads / o.key_heads);
  float* query = queries[threadIdx.x / kWarp];
  share(in.query + n * in.query_stride + h * in.query_head, o.width, query);
  forward_row(
      o, query, lengths[n] - 1, CachedKeys{lengths[n]},
      {in.key + n * key_sequence + group * in.key_head,
       in.value + n * value_sequence + group * in.value_head, in.key_stride, in.value_stride},
      out + (n * o.heads + h) * o.width, nullptr);
}

/// d of one query, and its row's sum of p d p, which is that of out d_out.
__global__ void __launch_bounds__(kThreads, kAtOnce)
    query_gradient_kernel(AttentionNumbers o, PackedTokens t, AttentionTensors in,
                          AttentionGradients g) {
  __shared__ float queries[kWarps][kAttentionWidth], d_outs[kWarps][kAttentionWidth];
  const int64_t token = warp() / o.heads, h = warp() % o.heads;
  if (token >= t.tokens) return;
  const int64_t s = t.segment[token], group = h / (o.heads / o.key_heads),
                row = token * o.heads + h, position = t.position[token];
  float *query = queries[threadIdx.x / kWarp], *d_out = d_outs[threadIdx.x / kWarp];
  share(in.query + token * in.query_stride + h * in.query_head, o.width, query);
  share(g.d_out + row * o.width, o.width, d_out);
  float mean = 0;
  for (int d = lane(); d < o.width; d += kWarp) mean += g.out[row * o.width + d] * d_out[d];
  mean = reduce_warp(mean, Sum());
  if (lane() == 0) g.mean[row] = mean;

  const PackedKeys keys{t.spans + t.first_span[s], t.first_span[s + 1] - t.first_span[s]};
  const float *key = in.key + group * in.key_head, *value = in.value + group * in.value_head;
  Spread sum;
  const Range range(o, position, keys.size());
  for (int64_t begin = range.first / kBlock * kBlock; begin < range.last; begin += kBlock) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int64_t j = begin + i * kWarp + lane();
      const bool seen = j < range.last && visible(o, position, j);
      const int64_t own = seen ? keys.token(j) : 0;
      float d = 0;
      if (seen) {
        const float z = score_of(o, dot(query, key + own * in.key_stride, o.width));
        d = d_product(o, z, exponential(z - g.lse[row]),
                      dot(d_out, value + own * in.value_stride, o.width), mean);
      }
#pragma unroll 4
      for (int l = 0; l < kWarp; ++l) {
        const float times = __shfl_sync(kAll, d, l);
        const int64_t from = __shfl_sync(kAll, own, l);
        if (times != 0) sum.add(times, key + from * in.key_stride, o.width);
      }
    }
  }
  sum.store(g.d_query + row * o.width, o.width, 1);
}

/// Adds what the queries of one segment, [first, last), give to a key and its value.
__device__ void add_queries(const AttentionNumbers& o, const PackedTokens& t,
                            const AttentionTensors& in, const AttentionGradients& g,
                            const float* key, const float* value, int64_t position, int64_t group,
                            int64_t first, int64_t last, Spread& d_key, Spread& d_value) {
  const int64_t shared = o.heads / o.key_heads;
  const int64_t rows = (last - first) * shared;  // (query, head), heads of a query together
  for (int64_t begin = 0; begin < rows; begin += kWarp) {
    const int64_t r = begin + lane(), token = first + r / shared, h = group * shared + r % shared;
    const int64_t row = token * o.heads + h;
    float p = 0, d = 0;
    if (r < rows && visible(o, t.position[token], position)) {
      const float* query = in.query + token * in.query_stride + h * in.query_head;
      const float z = score_of(o, dot(query, key, o.width));
      p = exponential(z - g.lse[row]);
      d = d_product(o, z, p, dot(g.d_out + row * o.width, value, o.width), g.mean[row]);
    }
#pragma unroll 4
    for (int l = 0; l < kWarp; ++l) {
      const float times = __shfl_sync(kAll, d, l), share = __shfl_sync(kAll, p, l);
      const int64_t at = begin + l, from = first + at / shared, head = group * shared + at % shared;
      if (times != 0)
        d_key.add(times, in.query + from * in.query_stride + head * in.query_head, o.width);
      if (share != 0) d_value.add(share, g.d_out + (from * o.heads + head) * o.width, o.width);
    }
  }
}

/// d of one key and its value: over the queries of its own segment, then over its descendants',
/// each summed first.
__global__ void __launch_bounds__(kThreads, kAtOnce)
    key_gradient_kernel(AttentionNumbers o, PackedTokens t, AttentionTensors in,
                        AttentionGradients g) {
  __shared__ float keys[kWarps][kAttentionWidth], values[kWarps][kAttentionWidth];
  const int64_t token = warp() / o.key_heads, group = warp() % o.key_heads;
  if (token >= t.tokens) return;
  const int64_t s = t.segment[token], position = t.position[token];
  float *key = keys[threadIdx.x / kWarp], *value = values[threadIdx.x / kWarp];
  share(in.key + token * in.key_stride + group * in.key_head, o.width, key);
  share(in.value + token * in.value_stride + group * in.value_head, o.width, value);
  Spread d_key, d_value;
  for (int64_t i = t.first_reader[s]; i < t.first_reader[s + 1]; ++i) {
    const int64_t reader = t.readers[i];
    const int64_t begin = t.begin[reader], end = t.begin[reader + 1];
    Spread of_key, of_value;
    add_queries(o, t, in, g, key, value, position, group, reader == s && o.causal ? token : begin,
                end, of_key, of_value);
#pragma unroll
    for (int k = 0; k < kPieces; ++k) d_key.at[k] += of_key.at[k], d_value.at[k] += of_value.at[k];
  }
  const int64_t row = token * o.key_heads + group;
  d_key.store(g.d_key + row * o.width, o.width, 1);
  d_value.store(g.d_value + row * o.width, o.width, 1);
}

}  // namespace

void attention_forward(const AttentionNumbers& numbers, const PackedTokens& tokens,
                       const AttentionTensors& in, float* out, float* lse, cudaStream_t stream) {
  launch_elements(stream, tokens.tokens * numbers.heads * kWarp, forward_kernel, numbers, tokens,
                  in, out, lse);
}

void attention_backward(const AttentionNumbers& numbers, const PackedTokens& tokens,
                        const AttentionTensors& in, const AttentionGradients& gradients,
                        cudaStream_t stream) {
  launch_elements(stream, tokens.tokens * numbers.heads * kWarp, query_gradient_kernel, numbers,
                  tokens, in, gradients);
  launch_elements(stream, tokens.tokens * numbers.key_heads * kWarp, key_gradient_kernel, numbers,
                  tokens, in, gradients);
}

void decode_attention(const AttentionNumbers& numbers, const AttentionTensors& in,
                      int64_t sequences, int64_t key_sequence, int64_t value_sequence,
                      const int64_t* lengths, float* out, cudaStream_t stream) {
  launch_elements(stream, sequences * numbers.heads * kWarp, decode_kernel, numbers, in, sequences,
                  key_sequence, value_sequence, lengths, out);
}

}  // namespace guerdon::kernels::cuda
