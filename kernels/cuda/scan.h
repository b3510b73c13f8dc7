/// Recurrences and running sums over a block of threads.
#pragma once

#include "kernels/cuda/device.h"

namespace guerdon::kernels::cuda {

struct Scanned {
  double own, before;
};

/// The recurrence y_i = b_i + a_i y_{i-1} over the threads of a block: each brings an affine map,
/// and the maps are composed by a fixed tree. `carry` is y before thread 0, and becomes y of the
/// last thread. Gives y of this thread and of the one before it.
__device__ inline Scanned scan_block(double a, double b, double& carry) {
  __shared__ double maps[kWarps][2], results[kThreads];
  const int lane = static_cast<int>(threadIdx.x) % kWarp,
            warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int step = 1; step < kWarp; step *= 2) {
    const double other_a = __shfl_up_sync(0xffffffffu, a, step),
                 other_b = __shfl_up_sync(0xffffffffu, b, step);
    if (lane >= step) b = b + a * other_b, a = a * other_a;
  }
  __syncthreads();  // what the call before left may still be read
  if (lane == kWarp - 1) maps[warp][0] = a, maps[warp][1] = b;
  __syncthreads();
  double before = carry;
  for (int w = 0; w < warp; ++w) before = maps[w][1] + maps[w][0] * before;
  results[threadIdx.x] = b + a * before;
  __syncthreads();
  const Scanned out{results[threadIdx.x], threadIdx.x == 0 ? carry : results[threadIdx.x - 1]};
  carry = results[kThreads - 1];
  return out;
}

}  // namespace guerdon::kernels::cuda
