// Statistics of rows of logits and their gradient (kernels.md F1, F2). A block of threads takes one
// block of columns: each thread holds its columns in registers, so that the maximum comes first and
// each element costs one exponential, and memory is read once. A second kernel merges a row's
// blocks in order. Nothing depends on how many rows there are: a row is always split alike.
#include "kernels/cuda/logits.h"

namespace guerdon::kernels::cuda {
namespace {

/// The columns of a block that a thread holds: groups of 16 bytes, side by side within the block of
/// threads. Which thread has which column depends on the column alone and never on the address, so
/// that a row's bits do not depend on its place; where the addresses are aligned, a group is one
/// access of memory.
template <class T>
struct Held {
  static constexpr int kGroup = 16 / static_cast<int>(sizeof(T)), kGroups = kHeld / kGroup;
  struct alignas(16) Group {
    T at[kGroup];
  };

  int64_t begin, end;  // of the block's columns
  __device__ Held(const LogitRows& in, int64_t block)
      : begin(block * kColumnBlock), end(min(begin + kColumnBlock, in.columns)) {}

  __device__ int64_t first_of(int group) const {
    return begin + (group * kThreads + static_cast<int>(threadIdx.x)) * kGroup;
  }
  __device__ static bool aligned(const T* row) {
    return reinterpret_cast<uintptr_t>(row) % sizeof(Group) == 0;
  }

  /// Columns beyond the last are -inf.
  __device__ void load(const T* row, float (&x)[kHeld]) const {
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const int64_t first = first_of(g);
      Group group;
      if (aligned(row) && first + kGroup <= end) {
        group = *reinterpret_cast<const Group*>(row + first);
      } else {
#pragma unroll
        for (int i = 0; i < kGroup; ++i)
          group.at[i] = first + i < end ? row[first + i] : narrowed<T>(-kInfinity);
      }
#pragma unroll
      for (int i = 0; i < kGroup; ++i) x[g * kGroup + i] = widened(group.at[i]);
    }
  }
  __device__ void store(T* row, const float (&x)[kHeld]) const {
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const int64_t first = first_of(g);
      Group group;
#pragma unroll
      for (int i = 0; i < kGroup; ++i) group.at[i] = narrowed<T>(x[g * kGroup + i]);
      if (aligned(row) && first + kGroup <= end) {
        *reinterpret_cast<Group*>(row + first) = group;
      } else {
#pragma unroll
        for (int i = 0; i < kGroup; ++i) {
          if (first + i < end) row[first + i] = group.at[i];
        }
      }
    }
  }
  /// The place in the block of column i of those held.
  __device__ int place(int i) const {
    return static_cast<int>(first_of(i / kGroup) - begin) + i % kGroup;
  }
};

/// Largest of a thread's columns; NaN is not looked for.
__device__ float largest(const float (&x)[kHeld]) {
  float top = -kInfinity;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) top = fmaxf(top, x[i]);
  return top;
}

/// What only few ask for: of x, and of z where it is not -inf.
template <class T>
__device__ void reduce_more(const Held<T>& held, const float (&x)[kHeld], const float (&z)[kHeld],
                            const LogitWish& wish, LogitBlock& out) {
  float sums[3] = {0, 0, 0};  // of z, their number, e^(x - raw_top)
  out.raw_top = wish.argmax || wish.raw ? reduce_block(largest(x), Max()) : 0;
  const float shift = out.raw_top == -kInfinity ? 0 : out.raw_top;
  int place = static_cast<int>(kColumnBlock);
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    if (z[i] > -kInfinity) sums[0] += z[i], sums[1] += 1;
    if (wish.raw) sums[2] += exponential(x[i] - shift);
    if (x[i] == out.raw_top && x[i] > -kInfinity) place = min(place, held.place(i));
  }
  reduce_block(sums, Sum());
  if (wish.mean) out.total = sums[0], out.finite = static_cast<int64_t>(sums[1]);
  if (wish.raw) out.raw_sum = sums[2];
  if (wish.argmax) {
    place = reduce_block(place, Min());
    out.argmax = place < static_cast<int>(kColumnBlock) ? place : 0;
  }
}

template <class T, bool kMore>
__global__ void __launch_bounds__(kThreads)
    block_kernel(LogitRows in, LogitWish wish, LogitBlock* room) {
  const int64_t blocks = in.blocks(), row = blockIdx.x / blocks, block = blockIdx.x % blocks;
  if (dead(in, row)) return;
  const LogitMap map(in, row);
  const Held<T> held(in, block);
  float x[kHeld], z[kHeld];
  held.load(static_cast<const T*>(in.x) + row * in.stride, x);
#pragma unroll
  for (int i = 0; i < kHeld; ++i) z[i] = map(x[i]);

  LogitBlock out{};
  out.top = reduce_block(largest(z), Max());
  // A block of -inf alone: the shift must not be infinite.
  const float shift = out.top == -kInfinity ? 0 : out.top;
  float sums[3] = {0, 0, 0};  // p, p log p, p^2
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const float d = z[i] - shift, p = exponential(d);
    sums[0] += p;
    if (p > 0) sums[1] += p * d;
    if (kMore) sums[2] += p * p;
  }
  reduce_block(sums, Sum());
  out.sum = sums[0], out.entropy_sum = sums[1], out.squares_sum = sums[2];
  out.poisoned = sums[0] != sums[0] || out.top == kInfinity;
  if (kMore) reduce_more(held, x, z, wish, out);
  if (threadIdx.x == 0) room[blockIdx.x] = out;
}

__global__ void __launch_bounds__(kThreads)
    row_kernel(LogitRows in, const int64_t* tokens, const LogitBlock* room, RowResults out) {
  const int64_t row = own_element();
  if (row >= in.rows) return;
  const bool alive = !dead(in, row);
  MergedRow m;
  for (int64_t b = 0; alive && b < in.blocks(); ++b) m.add(room[row * in.blocks() + b], b);
  const auto set = [&](float* to, double value) {
    if (to) to[row] = alive ? static_cast<float>(value) : 0;
  };
  set(out.lse, m.lse());
  set(out.entropy, m.entropy());
  set(out.mean, m.mean());
  set(out.squares, m.log_squares());
  set(out.raw, m.raw_lse());
  set(out.finite, static_cast<double>(m.finite));
  if (out.argmax) out.argmax[row] = alive ? m.argmax : 0;
  if (!out.logprob) return;
  const int64_t token = alive ? tokens[row] : -1;
  const bool there = token >= 0 && token < in.columns;
  set(out.logprob, there ? m.logprob(logit_of(in, LogitMap(in, row), row, token)) : NAN);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    gradient_kernel(LogitRows in, const int64_t* tokens, RowGradients from, T* out,
                    int64_t out_stride) {
  const int64_t blocks = in.blocks(), row = blockIdx.x / blocks, block = blockIdx.x % blocks;
  const Held<T> held(in, block);
  const auto number = [&](const float* values) { return values ? values[row] : 0.0f; };
  const float lse = number(from.lse), d_logprob = number(from.d_logprob),
              d_entropy = number(from.d_entropy), d_lse = number(from.d_lse),
              d_mean = number(from.d_mean);
  float d[kHeld] = {};
  const bool none = d_logprob == 0 && d_entropy == 0 && d_lse == 0 && d_mean == 0;
  if (!none && !dead(in, row) && lse != -kInfinity) {
    const LogitMap map(in, row);
    const float entropy = number(from.entropy);
    const float smoothing = d_mean == 0 ? 0 : d_mean / fmaxf(1.0f, number(from.finite));
    const int64_t token = tokens ? tokens[row] - held.begin : -1;  // its place, if it is here
    held.load(static_cast<const T*>(in.x) + row * in.stride, d);
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const float z = map(d[i]), log_p = z - lse, p = exponential(log_p);
      float g = (d_lse - d_logprob) * p;
      // For the token itself 1 - p is -expm1(log p), which keeps its digits when p is near 1.
      if (held.place(i) == token) g = d_logprob * -expm1f(log_p) + d_lse * p;
      if (d_entropy != 0 && p > 0) g -= p * (log_p + entropy) * d_entropy;
      if (z > -kInfinity) g += smoothing;
      d[i] = g * map.slope(z);
    }
  }
  held.store(out + row * out_stride, d);
}

/// Calls body(T{}) with the type in which the numbers are stored.
template <class Body>
void with_type(Element type, const Body& body) {
  switch (type) {
    case Element::float32: return body(float{});
    case Element::bfloat16: return body(Bfloat16{});
    case Element::float16: break;
  }
  body(Float16{});
}

}  // namespace

void token_stats(const LogitRows& rows, const LogitWish& wish, const int64_t* tokens,
                 LogitBlock* room, const RowResults& out, cudaStream_t stream) {
  const bool more = wish.squares || wish.argmax || wish.mean || wish.raw;
  with_type(rows.type, [&](auto type) {
    using T = decltype(type);
    launch(stream, rows.rows * rows.blocks(), more ? block_kernel<T, true> : block_kernel<T, false>,
           rows, wish, room);
  });
  launch_elements(stream, rows.rows, row_kernel, rows, tokens, room, out);
}

void token_stats_backward(const LogitRows& rows, const int64_t* tokens, const RowGradients& from,
                          void* out, int64_t out_stride, cudaStream_t stream) {
  with_type(rows.type, [&](auto type) {
    using T = decltype(type);
    launch(stream, rows.rows * rows.blocks(), gradient_kernel<T>, rows, tokens, from,
           static_cast<T*>(out), out_stride);
  });
}

}  // namespace guerdon::kernels::cuda
