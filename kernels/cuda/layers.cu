// Pieces of a decoder layer and the optimizer's step (kernels.md F24, F25): one block of threads a
// row for norms, one thread an element otherwise.
#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"

namespace guerdon::kernels::cuda {
namespace {

constexpr int64_t kNormChunk = 256;             ///< rows whose share of d_weight is summed together
constexpr int64_t kSquares = int64_t{1} << 16;  ///< elements whose squares are summed together

__global__ void __launch_bounds__(kThreads)
    norm_kernel(NormRows o, const void* residual, void* sums, void* out, float* rstd) {
  const int64_t begin = blockIdx.x * o.width;
  const void* row = residual ? sums : o.x;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < o.width; i += kThreads) {
    if (residual) {
      store_any(sums, o.type, begin + i,
                load_any(o.x, o.type, begin + i) + load_any(residual, o.type, begin + i));
    }
    // What is stored is what is normalised, rounding included.
    const float x = load_any(row, o.type, begin + i);
    squares += x * x;
  }
  squares = reduce_block(squares, Sum());
  const float scale = 1.0f / sqrtf(squares / static_cast<float>(o.width) + o.epsilon);
  if (threadIdx.x == 0) rstd[blockIdx.x] = scale;
  for (int64_t i = threadIdx.x; i < o.width; i += kThreads)
    store_any(out, o.type, begin + i,
              load_any(row, o.type, begin + i) * scale * (o.weight[i] + o.offset));
}

// With n = x rstd and g = d_out (weight + offset): d_x = rstd (g - n mean(g n)); d_weight = sum
// over rows of d_out n.
__global__ void __launch_bounds__(kThreads)
    norm_gradient_kernel(NormRows o, const float* rstd, const void* d_out, const void* d_sum,
                         void* d_x) {
  const int64_t begin = blockIdx.x * o.width;
  const float scale = rstd[blockIdx.x];
  const auto g = [&](int64_t i) {
    return load_any(d_out, o.type, begin + i) * (o.weight[i] + o.offset);
  };
  float products = 0;
  for (int64_t i = threadIdx.x; i < o.width; i += kThreads)
    products += g(i) * load_any(o.x, o.type, begin + i);
  const float mean = reduce_block(products, Sum()) * scale / static_cast<float>(o.width);
  for (int64_t i = threadIdx.x; i < o.width; i += kThreads) {
    float d = (g(i) - load_any(o.x, o.type, begin + i) * scale * mean) * scale;
    if (d_sum) d += load_any(d_sum, o.type, begin + i);
    store_any(d_x, o.type, begin + i, d);
  }
}

/// One thread a column and chunk of rows, which it adds in order.
__global__ void __launch_bounds__(kThreads)
    norm_weight_kernel(NormRows o, const float* rstd, const void* d_out, double* d_weight) {
  const int64_t own = own_element(), column = own % o.width, chunk = own / o.width;
  const int64_t first = chunk * kNormChunk, last = min(first + kNormChunk, o.rows);
  if (first >= last) return;
  double total = 0;
  for (int64_t r = first; r < last; ++r) {
    const int64_t i = r * o.width + column;
    total += static_cast<double>(load_any(d_out, o.type, i) * (load_any(o.x, o.type, i) * rstd[r]));
  }
  d_weight[own] = total;
}

__global__ void __launch_bounds__(kThreads)
    rope_kernel(Element type, const void* x, const float* cosine, const float* sine, float sign,
                int64_t count, int64_t heads, int64_t width, int64_t half, int64_t token_stride,
                void* out) {
  const int64_t own = own_element();
  if (own >= count) return;
  const int64_t d = own % width, head = own / width % heads, token = own / width / heads;
  const int64_t from = token * token_stride + head * width;
  float value = load_any(x, type, from + d);
  if (d < 2 * half) {
    const int64_t i = d < half ? d : d - half;
    const float c = cosine[token * half + i], s = sine[token * half + i] * sign;
    const float other = load_any(x, type, from + (d < half ? d + half : d - half));
    value = d < half ? value * c - other * s : value * c + other * s;
  }
  store_any(out, type, own, value);
}

/// act(g) = g s, s = sigmoid(g) for silu and sigmoid(2 u) for gelu, u = sqrt(2 / pi) (g + 0.044715
/// g^3), since (1 + tanh u) / 2 is the sigmoid of 2 u. `slope`: of the sigmoid's argument.
struct Activation {
  float share, slope;
  __device__ Activation(Gate act, float g) : slope(1) {
    constexpr float kTwice = 1.59576912160573f;  // 2 sqrt(2 / pi)
    float x = g;
    if (act == Gate::gelu) {
      x = kTwice * g * (1.0f + 0.044715f * g * g);
      slope = kTwice * (1.0f + 3 * 0.044715f * g * g);
    }
    // e^-|x| never overflows.
    const float e = exponential(-fabsf(x)), lesser = e / (1.0f + e);
    share = x > 0 ? 1.0f - lesser : lesser;
  }
};

__global__ void __launch_bounds__(kThreads) gated_kernel(Element type, Gate act, const void* gate,
                                                         const void* up, int64_t count, void* out) {
  const int64_t i = own_element();
  if (i >= count) return;
  const float g = load_any(gate, type, i);
  store_any(out, type, i, g * Activation(act, g).share * load_any(up, type, i));
}

// d (g s) = s + g s (1 - s) slope, where s is at 0 or 1 exactly s: slope may have overflowed there.
__global__ void __launch_bounds__(kThreads)
    gated_gradient_kernel(Element type, Gate act, const void* gate, const void* up,
                          const void* d_out, int64_t count, void* d_gate, void* d_up) {
  const int64_t i = own_element();
  if (i >= count) return;
  const float g = load_any(gate, type, i), u = load_any(up, type, i), d = load_any(d_out, type, i);
  const Activation at(act, g);
  const float s = at.share, bend = s * (1.0f - s);
  store_any(d_up, type, i, d * (g * s));
  store_any(d_gate, type, i, d * u * (s + (bend != 0 ? g * bend * at.slope : 0)));
}

/// One block of threads for each run of equal ids, started at its first.
__global__ void __launch_bounds__(kThreads)
    add_rows_kernel(const float* rows, const int64_t* ids, const int64_t* order, int64_t count,
                    int64_t width, float* table) {
  const int64_t first = blockIdx.x, id = ids[first];
  if (first > 0 && ids[first - 1] == id) return;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    float total = 0;
    for (int64_t k = first; k < count && ids[k] == id; ++k) total += rows[order[k] * width + i];
    table[id * width + i] = total;
  }
}

__global__ void __launch_bounds__(kThreads)
    squares_kernel(const float* x, int64_t count, double* room) {
  const int64_t begin = blockIdx.x * kSquares, end = min(begin + kSquares, count);
  double total = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads)
    total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  total = reduce_block(total, Sum());
  if (threadIdx.x == 0) room[blockIdx.x] = total;
}

__global__ void __launch_bounds__(kThreads)
    adamw_kernel(float* p, const float* g, float* m, float* v, int64_t count, AdamWNumbers o) {
  const int64_t i = own_element();
  if (i >= count) return;
  const float gradient = g[i] * o.gradient_scale;
  const float first = m[i] * o.beta1 + gradient * o.rest1;
  const float second = v[i] * o.beta2 + gradient * gradient * o.rest2;
  m[i] = first, v[i] = second;
  p[i] = p[i] * o.decay - o.rate * first / (sqrtf(second) / o.root + o.epsilon);
}

}  // namespace

void rms_norm(const NormRows& rows, const void* residual, void* sum, void* out, float* rstd,
              cudaStream_t stream) {
  launch(stream, rows.rows, norm_kernel, rows, residual, sum, out, rstd);
}

int64_t norm_chunks(int64_t rows) { return rounded_up_quotient(rows, kNormChunk); }

void rms_norm_backward(const NormRows& rows, const float* rstd, const void* d_out,
                       const void* d_sum, void* d_x, double* d_weight, cudaStream_t stream) {
  launch(stream, rows.rows, norm_gradient_kernel, rows, rstd, d_out, d_sum, d_x);
  if (d_weight)
    launch_elements(stream, norm_chunks(rows.rows) * rows.width, norm_weight_kernel, rows, rstd,
                    d_out, d_weight);
}

void rope(Element type, const void* x, const float* cosine, const float* sine, float sign,
          int64_t tokens, int64_t heads, int64_t width, int64_t half, int64_t token_stride,
          void* out, cudaStream_t stream) {
  const int64_t count = tokens * heads * width;
  launch_elements(stream, count, rope_kernel, type, x, cosine, sine, sign, count, heads, width,
                  half, token_stride, out);
}

void gated(Element type, Gate act, const void* gate, const void* up, int64_t count, void* out,
           cudaStream_t stream) {
  launch_elements(stream, count, gated_kernel, type, act, gate, up, count, out);
}

void gated_backward(Element type, Gate act, const void* gate, const void* up, const void* d_out,
                    int64_t count, void* d_gate, void* d_up, cudaStream_t stream) {
  launch_elements(stream, count, gated_gradient_kernel, type, act, gate, up, d_out, count, d_gate,
                  d_up);
}

void add_rows(const float* rows, const int64_t* ids, const int64_t* order, int64_t count,
              int64_t width, float* table, cudaStream_t stream) {
  launch(stream, count, add_rows_kernel, rows, ids, order, count, width, table);
}

int64_t square_pieces(int64_t count) { return rounded_up_quotient(count, kSquares); }

void square_sums(const float* x, int64_t count, double* room, cudaStream_t stream) {
  launch(stream, square_pieces(count), squares_kernel, x, count, room);
}

void adamw(float* p, const float* g, float* m, float* v, int64_t count, const AdamWNumbers& numbers,
           cudaStream_t stream) {
  launch_elements(stream, count, adamw_kernel, p, g, m, v, count, numbers);
}

}  // namespace guerdon::kernels::cuda
