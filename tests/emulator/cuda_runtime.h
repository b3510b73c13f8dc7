/// Stands in for CUDA's runtime where the kernels of kernels/cuda are compiled for the CPU: each
/// thread of a block is a fiber that runs until it waits for others, blocks run one after the
/// other. So every kernel can be tested where there is no GPU, with its barriers and shuffles as
/// they are written. A barrier at which some thread of the block never arrives, and a shuffle of
/// half a warp, throw std::logic_error. What is not shown: races between threads that forget a
/// barrier, memory beyond the end of a tensor, and speed.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#define __host__
#define __device__
#define __global__
#define __launch_bounds__(...)
#define __shared__ static

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace guerdon::emulator {

extern dim3 thread, block;  // of the fiber that runs

/// Runs body as each thread of each block.
void run(dim3 grid, dim3 block, const std::function<void()>& body);
/// Waits for all threads of the block.
void wait_for_block();
/// Gives the value of each lane of the warp once all have come here; good until the next call.
const uint64_t* exchange(unsigned mask, uint64_t value);
/// The thread's place in its warp.
int lane();

template <class T>
uint64_t bits_of(T value) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}
template <class T>
T shuffled(unsigned mask, T value, int source) {
  const uint64_t* lanes = exchange(mask, bits_of(value));
  std::memcpy(&value, lanes + source, sizeof value);
  return value;
}

}  // namespace guerdon::emulator

#define threadIdx (::guerdon::emulator::thread)
#define blockIdx (::guerdon::emulator::block)

// ---- device functions
// ----------------------------------------------------------------------------

inline void __syncthreads() { guerdon::emulator::wait_for_block(); }
inline void __syncwarp() { guerdon::emulator::exchange(0xffffffffu, 0); }
template <class T>
T __shfl_sync(unsigned mask, T value, int source) {
  return guerdon::emulator::shuffled(mask, value, source);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int with) {
  return guerdon::emulator::shuffled(mask, value, guerdon::emulator::lane() ^ with);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int by) {
  const int source = guerdon::emulator::lane() - by;
  return guerdon::emulator::shuffled(mask, value, source < 0 ? guerdon::emulator::lane() : source);
}
inline unsigned __ballot_sync(unsigned mask, bool vote) {
  const uint64_t* lanes = guerdon::emulator::exchange(mask, vote);
  unsigned out = 0;
  for (int i = 0; i < 32; ++i) out |= static_cast<unsigned>(lanes[i]) << i;
  return out;
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline uint32_t __float_as_uint(float x) { return std::bit_cast<uint32_t>(x); }
inline float __uint_as_float(uint32_t x) { return std::bit_cast<float>(x); }
template <class T>
T min(T a, T b) {
  return b < a ? b : a;
}

// ---- host functions
// ------------------------------------------------------------------------------

using cudaStream_t = struct CUstream_st*;
enum cudaError_t { cudaSuccess };
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t) { return "no error"; }

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  cudaStream_t stream = nullptr;
};
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  guerdon::emulator::run(config->gridDim, config->blockDim, [&] { kernel(arguments...); });
  return cudaSuccess;
}
