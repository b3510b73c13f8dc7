// Choosing tokens (kernels.md F21), one block of threads a row. What top-k and top-p leave is a
// prefix of the descending order: its last value is found digit by digit, sixteen candidates in
// each read of the row, and nothing is sorted. Masses are added in float64 in a fixed order.
#include <cstdint>

#include "kernels/cuda/logits.h"
#include "kernels/cuda/scan.h"

namespace guerdon::kernels::cuda {
namespace {

/// Floats in their order, as integers; both zeros are one.
__device__ uint32_t key_of(float z) {
  const uint32_t bits = __float_as_uint(z + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ float value_of(uint32_t key) {
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

/// All tokens above `z`, and of those equal to it the ids up to `id`.
struct Prefix {
  float z = -kInfinity;
  int64_t id = INT64_MAX;
  __device__ bool holds(float value, int64_t index) const {
    return value > z || (value == z && index <= id);
  }
};

/// A row, read again for each pass.
struct Row {
  const LogitRows& in;
  int64_t row;
  LogitMap map;
  float lse;

  __device__ float z(int64_t i) const { return logit_of(in, map, row, i); }
  __device__ double p(float z) const { return static_cast<double>(exponential(z - lse)); }

  /// The sum of body(z, id) over all tokens, the same in every thread.
  template <class Body>
  __device__ double sum(const Body& body) const {
    double total = 0;
    for (int64_t i = threadIdx.x; i < in.columns; i += kThreads) total += body(z(i), i);
    return reduce_block(total, Sum());
  }
  __device__ double mass(const Prefix& set) const {
    return sum([&](float z, int64_t i) { return set.holds(z, i) ? p(z) : 0.0; });
  }

  /// The largest value at which the number or the mass of the tokens from it up reaches `wanted`;
  /// -inf when even all do not.
  __device__ float boundary(double wanted, bool by_number) const {
    constexpr int kDigits = 15;  // candidates: the digits 1 to 15
    uint32_t key = 0;
    for (int shift = 28; shift >= 0; shift -= 4) {
      double reached[kDigits] = {};
      for (int64_t i = threadIdx.x; i < in.columns; i += kThreads) {
        const float value = z(i);
        const uint32_t own = key_of(value);
        if (own < key) continue;
        const double share = by_number ? 1 : p(value);
        const uint32_t digit = (own - key) >> shift;  // more than 15: above by a digit before
#pragma unroll
        for (uint32_t d = 0; d < kDigits; ++d) reached[d] += digit > d ? share : 0;
      }
      reduce_block(reached, Sum());
      uint32_t digit = 0;
#pragma unroll
      for (uint32_t d = 0; d < kDigits; ++d) digit += reached[d] >= wanted ? 1 : 0;
      key |= digit << shift;
    }
    return key == 0 ? -kInfinity : value_of(key);
  }

  /// The shortest prefix whose number or mass reaches `wanted`.
  __device__ Prefix prefix(double wanted, bool by_number) const {
    const float last = boundary(wanted, by_number);
    if (last == -kInfinity) return {};
    const double share = by_number ? 1 : p(last);
    double reached =
        sum([&](float z, int64_t) { return z > last ? (by_number ? 1.0 : p(z)) : 0.0; });
    const double equals = sum([&](float z, int64_t) { return z == last ? 1.0 : 0.0; });
    double needed = 0;
    for (; needed < equals && reached < wanted; needed += 1) reached += share;
    if (needed >= equals) return {last, INT64_MAX};
    // The id of the last of the equals that are needed, by bisection.
    int64_t low = 0, high = in.columns - 1;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      const double number =
          sum([&](float z, int64_t i) { return z == last && i <= middle ? 1.0 : 0.0; });
      if (number >= needed) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return {last, high};
  }

  /// What top-k, top-p and min-p leave, in this order.
  __device__ Prefix kept(const SamplingNumbers& o) const {
    Prefix kept;
    double whole = 1;
    if (o.top_k > 0 && o.top_k < in.columns) {
      kept = prefix(static_cast<double>(o.top_k), true);
      whole = mass(kept);
    }
    if (o.top_p < 1) {
      const Prefix nucleus = prefix(o.top_p * whole, false);
      if (nucleus.z > kept.z || (nucleus.z == kept.z && nucleus.id < kept.id)) kept = nucleus;
    }
    if (o.min_p > 0) {
      float top = -kInfinity;
      for (int64_t i = threadIdx.x; i < in.columns; i += kThreads) top = fmaxf(top, z(i));
      const double least = static_cast<double>(reduce_block(top, Max())) + ::log(o.min_p);
      // The largest float below `least`: what equals it or lies above stays.
      auto bound = static_cast<float>(least);
      if (static_cast<double>(bound) >= least) bound = nextafterf(bound, -kInfinity);
      if (bound >= kept.z) kept = {bound, -1};
    }
    return kept;
  }

  /// The running mass of the kept tokens in id order, block of columns after block: each thread has
  /// kHeld neighbours. Calls body(first id, mass before this thread, mass after the block) until it
  /// says stop. Gives the mass of all.
  template <class Body>
  __device__ double walk(const Prefix& set, const Body& body) const {
    double mass = 0;
    for (int64_t block = 0; block < in.blocks(); ++block) {
      const int64_t first = block * kColumnBlock + static_cast<int64_t>(threadIdx.x) * kHeld;
      double own = 0;
      each_of(set, first, [&](int64_t, double p) { own += p; });
      const double before = scan_block(1, own, mass).before;
      if (body(first, before, mass)) break;
    }
    return mass;
  }
  template <class Body>
  __device__ void each_of(const Prefix& set, int64_t first, const Body& body) const {
    for (int64_t i = first; i < min(first + kHeld, in.columns); ++i) {
      const float value = z(i);
      if (set.holds(value, i)) body(i, p(value));
    }
  }

  /// The token at `u` of the kept mass.
  __device__ int64_t draw(const Prefix& set, double u, float& kept_mass) const {
    const double total = walk(set, [](int64_t, double, double) { return false; });
    kept_mass = static_cast<float>(total < 1 ? total : 1);
    const double target = u * total;
    // The first token beyond the target; the last with mass, should rounding leave the target
    // above.
    int64_t found = INT64_MAX, last = -1;
    walk(set, [&](int64_t first, double before, double after) {
      double inside = 0;
      each_of(set, first, [&](int64_t i, double p) {
        if (!(p > 0)) return;
        last = i, inside += p;
        if (found == INT64_MAX && before + inside > target) found = i;
      });
      return after > target;
    });
    found = reduce_block(found, Min());
    last = reduce_block(last, Max());
    return found < INT64_MAX ? found : last;
  }
};

__global__ void __launch_bounds__(kThreads)
    sample_kernel(LogitRows in, SamplingNumbers numbers, const double* uniforms, const float* lse,
                  int64_t* token, float* logprob, float* kept) {
  const int64_t r = blockIdx.x;
  const Row row{in, r, LogitMap(in, r), lse[r]};
  int64_t chosen = -1;
  float mass = 1, own = lse[r];
  if (fabsf(lse[r]) < kInfinity) {
    chosen = numbers.greedy ? token[r] : row.draw(row.kept(numbers), uniforms[r], mass);
    own = fminf(row.z(chosen) - lse[r], 0);
  }
  __syncthreads();  // all have read the token of a greedy row
  if (threadIdx.x != 0) return;
  token[r] = chosen, logprob[r] = own, kept[r] = mass;
}

}  // namespace

void sample_tokens(const LogitRows& rows, const SamplingNumbers& numbers, const double* uniforms,
                   const float* lse, int64_t* token, float* logprob, float* kept,
                   cudaStream_t stream) {
  launch(stream, rows.rows, sample_kernel, rows, numbers, uniforms, lse, token, logprob, kept);
}

}  // namespace guerdon::kernels::cuda
