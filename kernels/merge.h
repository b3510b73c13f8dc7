/// How blocks of columns become a row (kernels.md 3.2 and 3.3): added in order, in float64. The
/// same code serves the kernels of every device; what happens inside a block does not, since a CPU
/// keeps it in vectors and a GPU in threads.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/numbers.h"

#ifdef __CUDACC__
#define GUERDON_EVERYWHERE __host__ __device__
#else
#define GUERDON_EVERYWHERE
#endif

namespace guerdon::kernels {

/// (m, s, e, r) of 3.2 and what was asked for beside them. A block of -inf alone contributes
/// nothing.
struct MergedRow {
  double top = -HUGE_VAL, sum = 0, entropy_sum = 0, squares_sum = 0;
  double raw_top = -HUGE_VAL, raw_sum = 0, total = 0;
  int64_t argmax = 0, finite = 0;
  bool poisoned = false;

  GUERDON_EVERYWHERE void add(const LogitBlock& b, int64_t index) {
    poisoned = poisoned || b.poisoned;
    total += b.total, finite += b.finite;
    if (const double x = b.raw_top; x > raw_top) {
      argmax = index * kColumnBlock + b.argmax;
      raw_sum = raw_sum * ::exp(raw_top - x) + b.raw_sum;
      raw_top = x;
    } else if (b.raw_sum > 0) {
      raw_sum += ::exp(x - raw_top) * b.raw_sum;
    }
    const double other = b.top;
    if (other == -HUGE_VAL || other == HUGE_VAL) return;
    const double M = top > other ? top : other;
    const double d1 = top - M, d2 = other - M;
    const double f1 = sum > 0 ? ::exp(d1) : 0.0, f2 = ::exp(d2);
    entropy_sum =
        (sum > 0 ? f1 * (entropy_sum + sum * d1) : 0.0) + f2 * (b.entropy_sum + b.sum * d2);
    squares_sum = f1 * f1 * squares_sum + f2 * f2 * b.squares_sum;
    sum = f1 * sum + f2 * b.sum;
    top = M;
  }

  /// Of -inf alone: then lse is -inf and the entropy 0.
  GUERDON_EVERYWHERE bool empty() const { return sum == 0; }
  GUERDON_EVERYWHERE double lse() const { return value(empty() ? top : top + ::log(sum)); }
  GUERDON_EVERYWHERE double entropy() const {
    if (empty()) return value(0);
    const double h = ::log(sum) - entropy_sum / sum;
    return value(h < 0 ? 0.0 : h);
  }
  GUERDON_EVERYWHERE double log_squares() const {
    return value(empty() ? top : ::log(squares_sum) - 2 * ::log(sum));
  }
  GUERDON_EVERYWHERE double mean() const {
    return value(total / static_cast<double>(finite > 1 ? finite : 1));
  }
  GUERDON_EVERYWHERE double raw_lse() const {
    return value(raw_sum > 0 ? raw_top + ::log(raw_sum) : raw_top);
  }
  /// Of a token of this z; above 0 by rounding only.
  GUERDON_EVERYWHERE double logprob(float z) const {
    const auto rounded = static_cast<float>(lse());
    const double x = empty() ? top : static_cast<double>(z) - static_cast<double>(rounded);
    return x > 0 ? 0.0 : value(x);
  }

 private:
  GUERDON_EVERYWHERE double value(double x) const { return poisoned ? NAN : x; }
};

/// (mz, mw, s, u, a, b) of 3.3.
struct MergedPair {
  double top_z = -HUGE_VAL, top_w = -HUGE_VAL, s = 0, u = 0, a = 0, b = 0;
  bool poisoned = false;

  GUERDON_EVERYWHERE void add(const PairBlock& k) {
    poisoned = poisoned || k.poisoned;
    const double kz = k.top_z, kw = k.top_w;
    const double Mz = top_z > kz ? top_z : kz, Mw = top_w > kw ? top_w : kw;
    Side z, w;
    z.take(s, a, shift(top_z, Mz), shift(top_w, Mw));
    z.take(k.sum_z, k.reverse, shift(kz, Mz), shift(kw, Mw));
    w.take(u, b, shift(top_w, Mw), shift(top_z, Mz));
    w.take(k.sum_w, k.forward, shift(kw, Mw), shift(kz, Mz));
    s = z.sum, a = z.extra, u = w.sum, b = w.extra, top_z = Mz, top_w = Mw;
  }

  GUERDON_EVERYWHERE double lse_z() const { return value(s == 0 ? -HUGE_VAL : top_z + ::log(s)); }
  GUERDON_EVERYWHERE double lse_w() const { return value(u == 0 ? -HUGE_VAL : top_w + ::log(u)); }
  /// KL(p || q), or with `forward` KL(q || p); 0 where a side has no distribution.
  GUERDON_EVERYWHERE double kl(bool forward) const {
    if (s == 0 || u == 0) return value(0);
    const double x = forward ? b / u - ::log(u) + ::log(s) : a / s - ::log(s) + ::log(u);
    return value(x < 0 ? 0.0 : x);
  }

 private:
  /// A sum that is moved to new maxima; an empty one has nothing to move.
  struct Side {
    double sum = 0, extra = 0;
    GUERDON_EVERYWHERE void take(double other, double other_extra, double own, double across) {
      if (other == 0) return;
      const double factor = ::exp(own);
      sum += factor * other;
      extra += factor * (other_extra + other * (own - across));
    }
  };
  GUERDON_EVERYWHERE static double shift(double from, double to) {
    return from == -HUGE_VAL || to == HUGE_VAL ? 0.0 : from - to;
  }
  GUERDON_EVERYWHERE double value(double x) const { return poisoned ? NAN : x; }
};

}  // namespace guerdon::kernels
