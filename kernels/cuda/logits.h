/// The way from x to z on a GPU (kernels.md section 1), as logit_map of the CPU.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"

namespace guerdon::kernels::cuda {

/// z = c tanh(scale x / c) / temperature. -inf stays -inf.
struct LogitMap {
  float scale, softcap, inverse_temperature;

  __device__ LogitMap(const LogitRows& in, int64_t row) : softcap(in.softcap) {
    const float temperature = in.temperatures ? in.temperatures[row] : in.temperature;
    scale = in.scale / (softcap > 0 ? softcap : temperature);
    inverse_temperature = 1.0f / temperature;
  }
  __device__ float operator()(float x) const {
    if (softcap == 0 || x == -kInfinity) return x * scale;
    return tanhf(x * scale) * softcap * inverse_temperature;
  }
  /// dz/dx where z is known.
  __device__ float slope(float z) const {
    if (softcap == 0) return scale;
    if (z == -kInfinity) return 0;
    const float share = z / (softcap * inverse_temperature);
    return (1.0f - share * share) * (scale * softcap * inverse_temperature);
  }
};

/// z of one column.
__device__ inline float logit_of(const LogitRows& in, const LogitMap& map, int64_t row,
                                 int64_t column) {
  return map(load_any(in.x, in.type, row * in.stride + column));
}

__device__ inline bool dead(const LogitRows& in, int64_t row) { return in.live && !in.live[row]; }

/// Columns of a block that one thread holds.
constexpr int kHeld = static_cast<int>(kColumnBlock) / kThreads;

}  // namespace guerdon::kernels::cuda
