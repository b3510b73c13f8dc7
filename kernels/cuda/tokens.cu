// Operators on numbers of tokens: estimates of KL, policy losses, sums over rows, scans (kernels.md
// F5, F17, F22, F18).
#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/scan.h"

namespace guerdon::kernels::cuda {
namespace {

constexpr float kMaxLogRatio = 20.0f;
constexpr int64_t kPolicyBlock = 1024;  ///< tokens whose sums are merged in order

/// NaN stays NaN.
__device__ float clamped(float x, float low, float high) {
  return x < low ? low : x > high ? high : x;
}

__global__ void __launch_bounds__(kThreads)
    kl_kernel(const float* logprob, const float* reference, KlKind kind, float bound, float most,
              int64_t count, float* value, float* slope) {
  const int64_t i = own_element();
  if (i >= count) return;
  const float given = logprob[i] - reference[i], x = clamped(given, -bound, bound);
  float v = x, d = 1;
  switch (kind) {
    case KlKind::k1: break;
    case KlKind::k2: v = 0.5f * x * x, d = x; break;
    case KlKind::k3: v = excess(-x), d = -expm1f(-x); break;
    case KlKind::abs: v = fabsf(x), d = x > 0 ? 1 : x < 0 ? -1 : 0; break;
    case KlKind::k3_straight_through: v = excess(-x), d = x; break;
  }
  const bool outside = given < -bound || given > bound || v < -most || v > most;
  value[i] = clamped(v, -most, most);
  slope[i] = outside ? 0 : d;
}

/// A term, its derivatives, and -1 or 1 where the ratio left the trust region.
struct Term {
  float value, by_logprob, by_log_ratio, side;
};

__device__ Term term_of(const PolicyNumbers& o, float ratio, float own_log_ratio, float advantage,
                        float logprob) {
  const bool good = advantage > 0, bad = advantage < 0;
  const auto side = [&](float x) { return x < o.low && bad ? -1.0f : x > o.high && good; };
  switch (o.term) {
    case PolicyTerm::clipped: {
      const float capped = ratio > o.cap ? o.cap : ratio, bounded = clamped(ratio, o.low, o.high);
      const float free = capped * advantage, clipped = bounded * advantage;
      const bool unclipped = free <= clipped;
      const bool moves = unclipped ? ratio <= o.cap : ratio >= o.low && ratio <= o.high;
      return {-(unclipped ? free : clipped), 0, moves ? -(ratio * advantage) : 0, side(capped)};
    }
    case PolicyTerm::geometric: {
      const float value = -(ratio * advantage);
      return {value, 0, value, side(own_log_ratio)};
    }
    case PolicyTerm::soft: {
      const float t = good ? o.positive_temperature : o.negative_temperature;
      const float s = 1.0f / (1.0f + expf(-t * (ratio - 1.0f)));
      return {-4 * s / t * advantage, 0, -4 * s * (1 - s) * ratio * advantage, 0};
    }
    case PolicyTerm::detached: {
      const float weight = (ratio > o.high ? o.high : ratio) * advantage;
      return {-(weight * logprob), -weight, 0, ratio > o.high && good ? 1.0f : 0.0f};
    }
    case PolicyTerm::plain: break;
  }
  return {-(advantage * logprob), -advantage, 0, 0};
}

/// The sums of PolicySums in its order, without the maximum.
constexpr int kSums = 7;

/// One token: writes its gradients and adds to the sums.
__device__ void add_token(const PolicyColumns& c, const PolicyNumbers& o, int64_t i,
                          const PolicyGradients& out, double (&sums)[kSums], float& largest) {
  const float weight = c.weight[i];
  if (weight == 0) {  // never read
    out.direct[i] = out.side[i] = 0;
    if (c.row_log_ratio) out.through[i] = 0;
    return;
  }
  const float logprob = c.logprob[i], advantage = c.advantage ? c.advantage[i] : 0;
  const float old = c.old ? c.old[i] : logprob, own = logprob - old;
  const float log_ratio = c.row_log_ratio ? c.row_log_ratio[c.row[i]] : own;
  const float ratio = expf(clamped(log_ratio, -kMaxLogRatio, kMaxLogRatio));
  Term term = term_of(o, ratio, own, advantage, logprob);
  if (c.factor) {
    const float factor = c.factor[i];
    term.value *= factor, term.by_logprob *= factor, term.by_log_ratio *= factor;
  }
  if (c.reference) {
    const float given = logprob - c.reference[i], x = clamped(given, -kMaxLogRatio, kMaxLogRatio);
    const float k3 = excess(-x), slope = fabsf(given) > kMaxLogRatio ? 0 : -expm1f(-x);
    const float times = o.kl_times_ratio ? ratio : 1, kl = k3 * times;
    term.value += o.beta * kl;
    term.by_logprob += o.beta * slope * times;
    if (o.kl_times_ratio) term.by_log_ratio += o.beta * kl;
    sums[1] += weight * kl;
    sums[2] += weight * x;
    sums[3] += weight * (0.5f * x * x);
    sums[4] += weight * k3;
  }
  const float share = weight * (c.row_share ? c.row_share[c.row[i]] : o.share);
  sums[0] += share * term.value;
  const float through = fabsf(log_ratio) > kMaxLogRatio ? 0 : share * term.by_log_ratio;
  const float direct = share * term.by_logprob;
  out.direct[i] = c.row_log_ratio ? direct : direct + through;
  if (c.row_log_ratio) out.through[i] = through;
  out.side[i] = term.side;
  if (c.entropy) sums[5] += weight * c.entropy[i];
  if (c.sampling) {
    const float difference = fabsf(old - c.sampling[i]);
    sums[6] += weight * difference;
    largest = fmaxf(largest, difference);
  }
}

__global__ void __launch_bounds__(kThreads)
    policy_kernel(PolicyColumns columns, PolicyNumbers numbers, int64_t count, PolicyGradients out,
                  PolicySums* room) {
  double sums[kSums] = {};
  float largest = 0;
  const int64_t begin = blockIdx.x * kPolicyBlock, end = min(begin + kPolicyBlock, count);
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads)
    add_token(columns, numbers, i, out, sums, largest);
  reduce_block(sums, Sum());
  largest = reduce_block(largest, Max());
  if (threadIdx.x == 0)
    room[blockIdx.x] = {sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6], largest};
}

/// One block of threads, of which one works: there is a part for 1,024 tokens.
__global__ void __launch_bounds__(kThreads)
    merge_policy_kernel(const PolicySums* room, int64_t parts, double* out) {
  if (threadIdx.x != 0) return;
  double totals[kSums] = {}, largest = 0;
  for (int64_t i = 0; i < parts; ++i) {
    const PolicySums& p = room[i];
    const double part[kSums] = {p.loss, p.kl, p.k1, p.k2, p.k3, p.entropy, p.difference};
    for (int k = 0; k < kSums; ++k) totals[k] += part[k];
    largest = fmax(largest, static_cast<double>(p.largest_difference));
  }
  for (int k = 0; k < kSums; ++k) out[k] = totals[k];
  // A maximum passes a NaN by.
  out[kSums] = totals[6] == totals[6] ? largest : totals[6];
}

/// A warp a row: its lanes look at 32 tokens at once, and add those of the row one after the other,
/// so that a sum has the bits of the CPU's, and tokens of weight 0 change none.
template <class T>
__global__ void __launch_bounds__(kThreads)
    row_sums_kernel(const T* value, const float* weight, const int64_t* row, int64_t count,
                    int64_t rows, double* out) {
  const int64_t own = own_element() / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (own >= rows) return;
  double sum = 0;
  for (int64_t begin = 0; begin < count; begin += kWarp) {
    const int64_t i = begin + lane;
    const float w = i < count && row[i] == own ? weight[i] : 0;
    const double share = w == 0  ? 0
                         : value ? static_cast<double>(w) * static_cast<double>(value[i])
                                 : static_cast<double>(w);
    unsigned mine = __ballot_sync(0xffffffffu, w != 0);
    while (mine != 0) {
      sum += __shfl_sync(0xffffffffu, share, __ffs(static_cast<int>(mine)) - 1);
      mine &= mine - 1;
    }
  }
  if (lane == 0) out[own] = sum;
}

/// Calls body(token or -1) for all tokens of this block's sequence from its end, kThreads at a
/// time, the last of them in thread 0; -1: no such token, or one that does not count.
template <class Body>
__device__ void backwards(const int64_t* offsets, const bool* mask, const Body& body) {
  const int64_t first = offsets[blockIdx.x];
  for (int64_t end = offsets[blockIdx.x + 1]; end > first; end -= kThreads) {
    const int64_t t = end - 1 - static_cast<int64_t>(threadIdx.x);
    body(t >= first && (!mask || mask[t]) ? t : -1);
  }
}

__global__ void __launch_bounds__(kThreads)
    scan_kernel(const double* b, const double* a, const int64_t* offsets, const bool* mask,
                double* y) {
  double next = 0;
  backwards(offsets, mask, [&](int64_t t) {
    const Scanned s = scan_block(t < 0 ? 1 : a[t], t < 0 ? 0 : b[t], next);
    if (t >= 0) y[t] = s.own;
  });
}

__global__ void __launch_bounds__(kThreads)
    gae_kernel(const double* rewards, const double* values, const double* bootstrap, double gamma,
               double lambda, const int64_t* offsets, const bool* mask, double* advantage,
               double* returns) {
  double next_value = bootstrap ? bootstrap[blockIdx.x] : 0, next = 0;
  backwards(offsets, mask, [&](int64_t t) {
    const double value = t < 0 ? 0 : values[t];
    // The value of the next token that counts is a recurrence too: such a token forgets what
    // follows.
    const double after = scan_block(t < 0 ? 1 : 0, value, next_value).before;
    const double delta = t < 0 ? 0 : rewards[t] + gamma * after - value;
    const Scanned s = scan_block(t < 0 ? 1 : gamma * lambda, delta, next);
    if (t >= 0) advantage[t] = s.own, returns[t] = s.own + value;
  });
}

}  // namespace

void kl_estimate(const float* logprob, const float* reference, KlKind kind, float bound, float most,
                 int64_t count, float* value, float* slope, cudaStream_t stream) {
  launch_elements(stream, count, kl_kernel, logprob, reference, kind, bound, most, count, value,
                  slope);
}

int64_t policy_blocks(int64_t count) { return rounded_up_quotient(count, kPolicyBlock); }

void policy_terms(const PolicyColumns& columns, const PolicyNumbers& numbers, int64_t count,
                  const PolicyGradients& out, PolicySums* room, double* sums, cudaStream_t stream) {
  launch(stream, policy_blocks(count), policy_kernel, columns, numbers, count, out, room);
  launch(stream, 1, merge_policy_kernel, room, policy_blocks(count), sums);
}

void row_sums(const float* value, const float* weight, const int64_t* row, int64_t count,
              int64_t rows, double* out, cudaStream_t stream) {
  launch_elements(stream, rows * kWarp, row_sums_kernel<float>, value, weight, row, count, rows,
                  out);
}

void row_sums(const double* value, const float* weight, const int64_t* row, int64_t count,
              int64_t rows, double* out, cudaStream_t stream) {
  launch_elements(stream, rows * kWarp, row_sums_kernel<double>, value, weight, row, count, rows,
                  out);
}

void discounted_scan(const double* b, const double* a, const int64_t* offsets, const bool* mask,
                     int64_t sequences, double* y, cudaStream_t stream) {
  launch(stream, sequences, scan_kernel, b, a, offsets, mask, y);
}

void gae(const double* rewards, const double* values, const double* bootstrap, double gamma,
         double lambda, const int64_t* offsets, const bool* mask, int64_t sequences,
         double* advantage, double* returns, cudaStream_t stream) {
  launch(stream, sequences, gae_kernel, rewards, values, bootstrap, gamma, lambda, offsets, mask,
         advantage, returns);
}

}  // namespace guerdon::kernels::cuda
