/// What the kernels of a GPU share: how numbers are stored, sums over a block of threads, and how a
/// kernel is started. Files of this folder know neither LibTorch nor tensors (only tensors.h and
/// the .cpp files do); a test compiles them once more for the CPU, with tests/emulator in the place
/// of CUDA's headers.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "kernels/numbers.h"

namespace guerdon::kernels::cuda {

constexpr int kWarp = 32;
constexpr int kThreads = 256;  ///< of a block, in every kernel
constexpr int kWarps = kThreads / kWarp;
/// Blocks of threads on a processor, for kernels that hold much: room for 128 registers a thread,
/// where the compiler would rather spill some and run more threads.
constexpr int kAtOnce = 2;

constexpr float kInfinity = HUGE_VALF;

// ---- numbers in memory
// ---------------------------------------------------------------------------

struct Bfloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

__device__ inline float widened(float x) { return x; }
__device__ inline float widened(Bfloat16 x) {
  return __uint_as_float(static_cast<uint32_t>(x.bits) << 16);
}
__device__ inline float widened(Float16 x) {
  // Exponent and fraction in their places; the product moves the exponent's bias from 15 to 127,
  // and makes numbers of denormals.
  const uint32_t size = (x.bits & 0x7fffu) << 13;
  const float value = (x.bits & 0x7c00u) == 0x7c00u ? __uint_as_float(size | 0x7f800000u)
                                                    : __uint_as_float(size) * 0x1p112f;
  return x.bits & 0x8000u ? -value : value;
}

/// To nearest, ties to even; a NaN stays a quiet NaN.
template <class T>
__device__ T narrowed(float x);
template <>
__device__ inline float narrowed<float>(float x) {
  return x;
}
template <>
__device__ inline Bfloat16 narrowed<Bfloat16>(float x) {
  const uint32_t bits = __float_as_uint(x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return {static_cast<uint16_t>(x == x ? rounded : (bits >> 16) | 0x40u)};
}
template <>
__device__ inline Float16 narrowed<Float16>(float x) {
  const uint32_t bits = __float_as_uint(x), size = bits & 0x7fffffffu, sign = bits >> 16 & 0x8000u;
  uint32_t out;
  if (size > 0x7f800000u) {
    out = 0x7e00u;
  } else if (size >= 0x477ff000u) {  // 65520 rounds to infinity
    out = 0x7c00u;
  } else if (size < 0x38800000u) {  // below 2^-14: 0.5 has the spacing of the denormals
    out = __float_as_uint(__uint_as_float(size) + 0.5f) - 0x3f000000u;
  } else {
    out = (size + 0xfffu + ((size >> 13) & 1u) - 0x38000000u) >> 13;
  }
  return {static_cast<uint16_t>(out | sign)};
}

/// An element of memory whose type is known when the program runs: the branch is the same for all
/// threads.
__device__ inline float load_any(const void* x, Element type, int64_t i) {
  switch (type) {
    case Element::float32: return static_cast<const float*>(x)[i];
    case Element::bfloat16: return widened(static_cast<const Bfloat16*>(x)[i]);
    case Element::float16: break;
  }
  return widened(static_cast<const Float16*>(x)[i]);
}
__device__ inline void store_any(void* x, Element type, int64_t i, float value) {
  switch (type) {
    case Element::float32: static_cast<float*>(x)[i] = value; return;
    case Element::bfloat16: static_cast<Bfloat16*>(x)[i] = narrowed<Bfloat16>(value); return;
    case Element::float16: break;
  }
  static_cast<Float16*>(x)[i] = narrowed<Float16>(value);
}

// ---- arithmetic
// ----------------------------------------------------------------------------------

/// e^x by the hardware's 2^x; exactly 1 at 0.
__device__ inline float exponential(float x) { return exp2f(x * 1.44269504088896341f); }

/// e^x - 1 - x: relative error below 1e-6, also near 0.
__device__ inline float excess(float x) {
  if (!(fabsf(x) < 0.5f)) return expm1f(x) - x;
  float p = x * (1.0f / 40320) + (1.0f / 5040);
  p = p * x + (1.0f / 720);
  p = p * x + (1.0f / 120);
  p = p * x + (1.0f / 24);
  p = p * x + (1.0f / 6);
  p = p * x + 0.5f;
  return p * x * x;
}

// ---- a block of threads
// --------------------------------------------------------------------------

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
/// A NaN on the left stays; on the right it is passed by.
struct Max {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return b > a ? b : a;
  }
};
struct Min {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};

/// N reductions over the block at once; every thread gets the results. The tree is fixed: lanes
/// within a warp, then warps in order. All threads of the block must come here.
template <int N, class Op, class T>
__device__ void reduce_block(T (&values)[N], Op op) {
  __shared__ T room[kWarps][N];
#pragma unroll
  for (int i = 0; i < N; ++i) {
    for (int step = kWarp / 2; step > 0; step /= 2)
      values[i] = op(values[i], __shfl_xor_sync(0xffffffffu, values[i], step));
  }
  __syncthreads();  // the room may still be read from the time before
  if (threadIdx.x % kWarp == 0) {
    for (int i = 0; i < N; ++i) room[threadIdx.x / kWarp][i] = values[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < N; ++i) {
    values[i] = room[0][i];
    for (int w = 1; w < kWarps; ++w) values[i] = op(values[i], room[w][i]);
  }
}
template <class Op, class T>
__device__ T reduce_block(T value, Op op) {
  T values[1] = {value};
  reduce_block(values, op);
  return values[0];
}

// ---- starting a kernel
// ---------------------------------------------------------------------------

inline int64_t rounded_up_quotient(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Starts `blocks` blocks of kThreads threads. An error waits in cudaGetLastError().
template <class... Parameters, class... Arguments>
void launch(cudaStream_t stream, int64_t blocks, void (*kernel)(Parameters...),
            const Arguments&... arguments) {
  if (blocks == 0) return;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(kThreads);
  config.stream = stream;
  cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

/// For elementwise kernels: so many blocks that each thread has one element.
template <class... Parameters, class... Arguments>
void launch_elements(cudaStream_t stream, int64_t count, void (*kernel)(Parameters...),
                     const Arguments&... arguments) {
  launch(stream, rounded_up_quotient(count, kThreads), kernel, arguments...);
}

/// The element of this thread in such a kernel; may lie beyond the last.
__device__ inline int64_t own_element() {
  return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}

}  // namespace guerdon::kernels::cuda
