/// Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
/// easy as 1, 2, 3").
///
/// A number is a pure function of what it is for, never of what was drawn before: same seed, same
/// samples, whatever the batch layout; and after a resume there is nothing to restore. Header-only,
/// for the operators too.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <numeric>
#include <vector>

namespace guerdon {

/// What a random number is for. Two purposes never share numbers. The values are part of the
/// meaning of a seed: add, never renumber.
enum class Purpose : uint32_t {
  shuffle = 1,     ///< order of the rows of an epoch
  sample = 2,      ///< a generated token
  initialise = 3,  ///< new weights
  dropout = 4,
  data = 5,       ///< synthetic data
  bootstrap = 6,  ///< confidence intervals
  choose = 7,     ///< splits, mixtures, subsets
};

/// Ten rounds of Philox on a 128-bit counter with a 64-bit key.
constexpr std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, uint64_t key) {
  auto k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ k1, static_cast<uint32_t>(a)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return counter;
}

/// A stream of numbers named by (seed, purpose, a, b): for instance (seed, Purpose::sample, prompt,
/// sample). The n-th number of a stream can be asked for directly.
class Random {
 public:
  constexpr Random(uint64_t seed, Purpose purpose, uint64_t a = 0, uint64_t b = 0)
      : key_(mix(mix(mix(seed ^ mix(static_cast<uint64_t>(purpose))) ^ a) +
                 0x632BE59BD9B4E019 * (b + 1))) {}

  /// 64 random bits: the n-th of the stream.
  constexpr uint64_t bits(uint64_t n) const {
    const auto word =
        philox({static_cast<uint32_t>(n), static_cast<uint32_t>(n >> 32), 0, 0}, key_);
    return uint64_t{word[1]} << 32 | word[0];
  }
  /// The n-th number in (0, 1), with 53 bits: never 0 and never 1.
  constexpr double uniform(uint64_t n) const {
    return (static_cast<double>(bits(n) >> 11) + 0.5) * 0x1.0p-53;
  }
  /// The n-th integer in [0, size); size > 0. The bias is below size / 2^64.
  constexpr uint64_t below(uint64_t n, uint64_t size) const {
    __extension__ using Wide = unsigned __int128;
    return static_cast<uint64_t>((static_cast<Wide>(bits(n)) * size) >> 64);
  }
  /// The n-th standard normal number (Box-Muller on the uniforms 2n and 2n + 1).
  double normal(uint64_t n) const {
    return std::sqrt(-2.0 * std::log(uniform(2 * n))) *
           std::cos(2.0 * std::numbers::pi * uniform(2 * n + 1));
  }

  // The next of each, for those who go through a stream in order.
  uint64_t next_bits() { return bits(next_++); }
  double next_uniform() { return uniform(next_++); }
  uint64_t next_below(uint64_t size) { return below(next_++, size); }

  /// The numbers 0 .. size-1 in random order (Fisher-Yates).
  std::vector<int64_t> permutation(int64_t size) const {
    std::vector<int64_t> order(static_cast<size_t>(size));
    std::iota(order.begin(), order.end(), int64_t{0});
    for (int64_t i = size - 1; i > 0; --i) {
      const auto j =
          static_cast<size_t>(below(static_cast<uint64_t>(i), static_cast<uint64_t>(i) + 1));
      std::swap(order[static_cast<size_t>(i)], order[j]);
    }
    return order;
  }

 private:
  // The finaliser of SplitMix64: spreads every bit of the input over the whole word.
  static constexpr uint64_t mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
  }
  uint64_t key_;
  uint64_t next_ = 0;
};

}  // namespace guerdon
