// Divergences between rows of logits (kernels.md F6 to F9). As in logits.cu a block of threads
// takes one block of columns and holds them in registers, and a second kernel merges. The types of
// the two or three rows are looked at as the program runs: 27 combinations would be as many
// kernels.
#include "kernels/cuda/logits.h"

namespace guerdon::kernels::cuda {
namespace {

/// Columns side by side in the block of threads: column i of those that a thread holds.
__device__ int64_t column_of(int64_t block, int i) {
  return block * kColumnBlock + i * kThreads + static_cast<int64_t>(threadIdx.x);
}

__device__ void load_student(const PairRows& in, int64_t row, int64_t block, float (&z)[kHeld]) {
  const LogitMap map(in.student, row);
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int64_t c = column_of(block, i);
    z[i] = c < in.student.columns ? logit_of(in.student, map, row, c) : -kInfinity;
  }
}

__device__ void load_teacher(const PairRows& in, int64_t row, int64_t block, float (&w)[kHeld]) {
  const LogitMap map(in.teacher, row), second(in.second, row);
  const float a = in.combined ? in.weight[row] : 1, b = in.combined ? in.second_weight[row] : 0;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int64_t c = column_of(block, i);
    w[i] = -kInfinity;
    if (c >= in.teacher.columns) continue;
    // A weight of 0 takes its row out, with its -inf.
    w[i] = a == 0 ? 0 : a * logit_of(in.teacher, map, row, c);
    if (b != 0) w[i] += b * logit_of(in.second, second, row, c);
  }
}

__device__ float largest(const float (&x)[kHeld]) {
  float top = -kInfinity;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) top = fmaxf(top, x[i]);
  return top;
}

__global__ void __launch_bounds__(kThreads, kAtOnce) pair_kernel(PairRows in, PairBlock* room) {
  const int64_t blocks = in.student.blocks(), row = blockIdx.x / blocks;
  if (dead(in.student, row)) return;
  float z[kHeld], w[kHeld];
  load_student(in, row, blockIdx.x % blocks, z);
  load_teacher(in, row, blockIdx.x % blocks, w);
  float tops[2] = {largest(z), largest(w)};
  reduce_block(tops, Max());
  const float shift_z = tops[0] == -kInfinity ? 0 : tops[0];
  const float shift_w = tops[1] == -kInfinity ? 0 : tops[1];
  float sums[4] = {0, 0, 0, 0};  // s, u, a, b
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const float dz = z[i] - shift_z, dw = w[i] - shift_w, p = exponential(dz), q = exponential(dw);
    sums[0] += p, sums[1] += q;
    if (p > 0) sums[2] += p * (dz - dw);
    if (q > 0) sums[3] += q * (dw - dz);
  }
  reduce_block(sums, Sum());
  if (threadIdx.x != 0) return;
  const bool poisoned =
      sums[0] != sums[0] || sums[1] != sums[1] || tops[0] == kInfinity || tops[1] == kInfinity;
  room[blockIdx.x] = {tops[0], tops[1], sums[0], sums[1], sums[2], sums[3], poisoned};
}

__global__ void __launch_bounds__(kThreads, kAtOnce)
    merge_pairs_kernel(PairRows in, bool forward, const PairBlock* room, PairResults out) {
  const int64_t row = own_element(), blocks = in.student.blocks();
  if (row >= in.student.rows) return;
  const bool alive = !dead(in.student, row);
  MergedPair m;
  for (int64_t b = 0; alive && b < blocks; ++b) m.add(room[row * blocks + b]);
  out.value[row] = alive ? static_cast<float>(m.kl(forward)) : 0;
  out.inner[row] = 0;
  out.lse_student[row] = alive ? static_cast<float>(m.lse_z()) : 0;
  out.lse_teacher[row] = alive ? static_cast<float>(m.lse_w()) : 0;
}

/// A column of both sides: p = e^log_p of the student, q of the teacher.
struct Column {
  float log_p, log_q, p, q;
  __device__ Column(float z, float w, float lse_student, float lse_teacher)
      : log_p(z - lse_student), log_q(w - lse_teacher) {
    p = exponential(log_p), q = exponential(log_q);
  }
  /// log of Jensen-Shannon's mixture beta q + (1 - beta) p; written so that equal sides give
  /// exactly log 1 more.
  __device__ float log_mixture(float beta) const {
    const float difference = log_p - log_q, high = difference > 0 ? log_p : log_q;
    const float lesser = difference > 0 ? beta : 1.0f - beta;
    const float value = high + logf(1.0f - lesser * (1.0f - exponential(-fabsf(difference))));
    return high > -kInfinity ? value : high;
  }
};

/// p (e^d - 1 - d) with q = p e^d: a term of KL(p || q) that is never negative.
__device__ float term(float p, float q, float d) {
  if (!(p > 0)) return q;
  return fabsf(d) < 0.5f ? p * excess(d) : q - p * (1.0f + d);
}

/// Adds a column's share: (value, what the student's gradient subtracts).
template <DivergenceKind kKind>
__device__ void add_column(const Column& at, float beta, float (&sums)[2]) {
  if constexpr (kKind == DivergenceKind::reverse_kl) {
    sums[0] += term(at.p, at.q, at.log_q - at.log_p);
  } else if constexpr (kKind == DivergenceKind::forward_kl) {
    sums[0] += term(at.q, at.p, at.log_p - at.log_q);
  } else if constexpr (kKind == DivergenceKind::jsd) {
    const float log_m = at.log_mixture(beta), m = exponential(log_m);
    const float own = term(at.p, m, log_m - at.log_p);
    sums[0] += (1.0f - beta) * own + beta * term(at.q, m, log_m - at.log_q);
    sums[1] += own;
  } else {
    const float d = at.p - at.q;
    sums[0] += fabsf(d);
    sums[1] += d > 0 ? at.p : d < 0 ? -at.p : 0;
  }
}

template <DivergenceKind kKind>
__global__ void __launch_bounds__(kThreads, kAtOnce)
    value_kernel(PairRows in, float beta, PairResults known, DivergenceBlock* room) {
  const int64_t blocks = in.student.blocks(), row = blockIdx.x / blocks;
  if (dead(in.student, row)) return;
  float z[kHeld], w[kHeld], sums[2] = {0, 0};
  load_student(in, row, blockIdx.x % blocks, z);
  load_teacher(in, row, blockIdx.x % blocks, w);
  const float lse_student = known.lse_student[row], lse_teacher = known.lse_teacher[row];
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    if (column_of(blockIdx.x % blocks, i) < in.student.columns)
      add_column<kKind>(Column(z[i], w[i], lse_student, lse_teacher), beta, sums);
  }
  reduce_block(sums, Sum());
  if (threadIdx.x == 0) room[blockIdx.x] = {sums[0], sums[1]};
}

__global__ void __launch_bounds__(kThreads, kAtOnce)
    merge_values_kernel(PairRows in, const DivergenceBlock* room, PairResults out) {
  const int64_t row = own_element(), blocks = in.student.blocks();
  if (row >= in.student.rows) return;
  // Rows of -inf alone have no distribution; a NaN of either side is one of the row.
  const float both = out.lse_student[row] + out.lse_teacher[row];
  double value = 0, inner = 0;
  if (!dead(in.student, row) && fabsf(both) != kInfinity) {
    for (int64_t b = 0; b < blocks; ++b)
      value += room[row * blocks + b].value, inner += room[row * blocks + b].inner;
  }
  out.value[row] = both != both ? both : static_cast<float>(value);
  out.inner[row] = static_cast<float>(inner);
}

/// What a column's gradient is, but for the upstream one and the slope of the side's map.
template <DivergenceKind kKind>
__device__ float gradient_of(const Column& at, bool of_student, float beta, float value,
                             float inner) {
  if constexpr (kKind == DivergenceKind::jsd) {
    return at.p > 0 ? (1.0f - beta) * at.p * (at.log_p - at.log_mixture(beta) - inner) : 0;
  } else if constexpr (kKind == DivergenceKind::total_variation) {
    const float sign = at.p > at.q ? 1.0f : at.p < at.q ? -1.0f : 0.0f;
    return at.p * (sign - inner);
  } else {
    const float own = of_student ? at.p : at.q, other = of_student ? at.q : at.p;
    // The side that is averaged over is the other one: KL(P || Q) has the gradient Q - P in w.
    if ((kKind == DivergenceKind::reverse_kl) != of_student) return own - other;
    const float log_ratio = of_student ? at.log_p - at.log_q : at.log_q - at.log_p;
    // Columns where only the other side is -inf are left out: no infinity enters the model.
    return own > 0 && log_ratio < kInfinity ? own * (log_ratio - value) : 0;
  }
}

template <DivergenceKind kKind>
__global__ void __launch_bounds__(kThreads, kAtOnce)
    gradient_kernel(PairRows in, float beta, PairResults sums, bool of_student, const float* d,
                    void* out, int64_t out_stride) {
  const int64_t blocks = in.student.blocks(), row = blockIdx.x / blocks,
                block = blockIdx.x % blocks;
  const LogitRows& side = of_student ? in.student : in.teacher;
  const float lse_student = sums.lse_student[row], lse_teacher = sums.lse_teacher[row];
  const bool none = dead(in.student, row) || d[row] == 0 || fabsf(lse_student) == kInfinity ||
                    fabsf(lse_teacher) == kInfinity;
  const LogitMap map(side, row);
  float z[kHeld], w[kHeld];
  if (!none) load_student(in, row, block, z);
  if (!none) load_teacher(in, row, block, w);
  // KL = inf: the finite part's limit, so that no infinity enters the model.
  const float value = sums.value[row] == kInfinity ? 0 : sums.value[row];
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int64_t c = column_of(block, i);
    if (c >= side.columns) continue;
    float g = 0;
    if (!none) {
      const Column at(z[i], w[i], lse_student, lse_teacher);
      g = gradient_of<kKind>(at, of_student, beta, value, sums.inner[row]) * d[row] *
          map.slope(of_student ? z[i] : w[i]);
    }
    store_any(out, side.type, row * out_stride + c, g);
  }
}

/// Calls body with the kind as a constant.
template <class Body>
void with_kind(DivergenceKind kind, const Body& body) {
  switch (kind) {
    case DivergenceKind::reverse_kl:
      return body(std::integral_constant<DivergenceKind, DivergenceKind::reverse_kl>());
    case DivergenceKind::forward_kl:
      return body(std::integral_constant<DivergenceKind, DivergenceKind::forward_kl>());
    case DivergenceKind::jsd:
      return body(std::integral_constant<DivergenceKind, DivergenceKind::jsd>());
    case DivergenceKind::total_variation: break;
  }
  body(std::integral_constant<DivergenceKind, DivergenceKind::total_variation>());
}

}  // namespace

void pair_sums(const PairRows& rows, bool forward, PairBlock* room, const PairResults& out,
               cudaStream_t stream) {
  launch(stream, rows.student.rows * rows.student.blocks(), pair_kernel, rows, room);
  launch_elements(stream, rows.student.rows, merge_pairs_kernel, rows, forward, room, out);
}

void divergence(const PairRows& rows, DivergenceKind kind, float beta, DivergenceBlock* room,
                const PairResults& out, cudaStream_t stream) {
  with_kind(kind, [&](auto known) {
    launch(stream, rows.student.rows * rows.student.blocks(), value_kernel<known.value>, rows, beta,
           out, room);
  });
  launch_elements(stream, rows.student.rows, merge_values_kernel, rows, room, out);
}

void divergence_backward(const PairRows& rows, DivergenceKind kind, float beta,
                         const PairResults& sums, bool of_student, const float* d, void* out,
                         int64_t out_stride, cudaStream_t stream) {
  with_kind(kind, [&](auto known) {
    launch(stream, rows.student.rows * rows.student.blocks(), gradient_kernel<known.value>, rows,
           beta, sums, of_student, d, out, out_stride);
  });
}

}  // namespace guerdon::kernels::cuda
