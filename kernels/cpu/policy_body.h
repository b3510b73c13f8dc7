/// What tokens contribute to a policy loss. Included once for each instruction set, inside its own
/// namespace.

constexpr float kMaxLogRatio = 20.0f;

[[gnu::always_inline]] inline Vector<float> magnitude(Vector<float> x) { return x < 0.0f ? -x : x; }

/// NaN stays NaN.
[[gnu::always_inline]] inline Vector<float> clamped(Vector<float> x, float low, float high) {
  const Vector<float> bounded = x < low ? all(low) : x;
  return bounded > high ? all(high) : bounded;
}

void kl_estimate(const float* logprob, const float* reference, KlKind kind, float bound, float most,
                 int64_t count, float* value, float* slope) {
  for_each_vector(count, [&](int64_t i, auto n) {
    const Vector<float> given = load_some(logprob + i, n) - load_some(reference + i, n);
    const Vector<float> x = clamped(given, -bound, bound);
    Vector<float> v = x, d = all(1.0f);
    switch (kind) {
      case KlKind::k1: break;
      case KlKind::k2: v = 0.5f * x * x, d = x; break;
      case KlKind::k3: v = excess(-x), d = -exponential_less_one(-x); break;
      case KlKind::abs:
        v = magnitude(x);
        d = x > 0.0f ? all(1.0f) : (x < 0.0f ? all(-1.0f) : Vector<float>{});
        break;
      case KlKind::k3_straight_through: v = excess(-x), d = x; break;
    }
    const auto outside = (given < -bound) | (given > bound) | (v < -most) | (v > most);
    store_some(value + i, clamped(v, -most, most), n);
    store_some(slope + i, outside ? Vector<float>{} : d, n);
  });
}

/// Sums of floats in float64, lane by lane.
struct WideSum {
  Vector<double> low{}, high{};
  void add(Vector<float> x) {
    float lanes[kFloatLanes];
    store(lanes, x);
    low += wide(lanes);
    high += wide(lanes + kFloatLanes / 2);
  }
  double total() const { return sum<double>(low + high); }
};

/// A number of each token's row.
inline Vector<float> of_rows(const float* table, const int64_t* row, int64_t count) {
  float lanes[kFloatLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = table[row[i]];
  return load(lanes);
}

/// A term, its derivatives, and -1 or 1 where the ratio left the trust region.
struct Term {
  Vector<float> value, by_logprob, by_log_ratio, side;
};

[[gnu::always_inline]] inline Term term_of(const PolicyNumbers& o, Vector<float> ratio,
                                           Vector<float> own_log_ratio, Vector<float> advantage,
                                           Vector<float> logprob) {
  const Vector<float> zero{};
  const auto good = advantage > 0.0f, bad = advantage < 0.0f;
  const auto side = [&](Vector<float> x) {
    return (x < o.low) & bad ? all(-1.0f) : ((x > o.high) & good ? all(1.0f) : zero);
  };
  switch (o.term) {
    case PolicyTerm::clipped: {
      const Vector<float> capped = ratio > o.cap ? all(o.cap) : ratio;
      const Vector<float> bounded = clamped(ratio, o.low, o.high);
      const Vector<float> free = capped * advantage, clipped = bounded * advantage;
      const auto unclipped = free <= clipped;
      const auto moves = unclipped ? ratio <= o.cap : (ratio >= o.low) & (ratio <= o.high);
      return {-(unclipped ? free : clipped), zero, moves ? -(ratio * advantage) : zero,
              side(capped)};
    }
    case PolicyTerm::geometric: {
      const Vector<float> value = -(ratio * advantage);
      return {value, zero, value, side(own_log_ratio)};
    }
    case PolicyTerm::soft: {
      const Vector<float> t = good ? all(o.positive_temperature) : all(o.negative_temperature);
      const Vector<float> s = sigmoid(t * (ratio - 1.0f));
      return {-4.0f * s / t * advantage, zero, -4.0f * s * (1.0f - s) * ratio * advantage, zero};
    }
    case PolicyTerm::detached: {
      const Vector<float> weight = (ratio > o.high ? all(o.high) : ratio) * advantage;
      return {-(weight * logprob), -weight, zero, (ratio > o.high) & good ? all(1.0f) : zero};
    }
    case PolicyTerm::plain: break;
  }
  return {-(advantage * logprob), -advantage, zero, zero};
}

void policy_terms(const PolicyColumns& c, const PolicyNumbers& o, int64_t count,
                  const PolicyGradients& out, PolicySums* sums) {
  const Vector<float> zero{};
  WideSum loss, kls, k1s, k2s, k3s, entropies, differences;
  Vector<float> largest{};
  for_each_vector(count, [&](int64_t i, auto n) {
    const Vector<float> weight = load_some(c.weight + i, n);
    const auto counts = weight != 0.0f;
    const auto column = [&](const float* values) {
      return values ? (counts ? load_some(values + i, n) : zero) : zero;
    };
    const Vector<float> logprob = column(c.logprob), advantage = column(c.advantage);
    const Vector<float> old = c.old ? column(c.old) : logprob;
    const Vector<float> own = logprob - old;
    const Vector<float> log_ratio =
        c.row_log_ratio ? (counts ? of_rows(c.row_log_ratio, c.row + i, n) : zero) : own;
    const Vector<float> ratio = exponential(clamped(log_ratio, -kMaxLogRatio, kMaxLogRatio));
    Term term = term_of(o, ratio, own, advantage, logprob);
    if (c.factor) {
      const Vector<float> factor = column(c.factor);
      term.value *= factor, term.by_logprob *= factor, term.by_log_ratio *= factor;
    }
    if (c.reference) {
      const Vector<float> given = logprob - column(c.reference);
      const Vector<float> x = clamped(given, -kMaxLogRatio, kMaxLogRatio), k3 = excess(-x);
      const auto outside = magnitude(given) > kMaxLogRatio;
      const Vector<float> slope = outside ? zero : -exponential_less_one(-x);
      const Vector<float> times = o.kl_times_ratio ? ratio : all(1.0f), kl = k3 * times;
      term.value += o.beta * kl;
      term.by_logprob += o.beta * slope * times;
      if (o.kl_times_ratio) term.by_log_ratio += o.beta * kl;
      kls.add(weight * kl);
      k1s.add(weight * x);
      k2s.add(weight * (0.5f * x * x));
      k3s.add(weight * k3);
    }
    const Vector<float> share =
        weight * (c.row_share ? of_rows(c.row_share, c.row + i, n) : all(o.share));
    loss.add(share * term.value);
    const auto still = magnitude(log_ratio) > kMaxLogRatio;
    const Vector<float> through = still ? zero : share * term.by_log_ratio;
    const Vector<float> direct = share * term.by_logprob;
    store_some(out.direct + i, c.row_log_ratio ? direct : direct + through, n);
    if (c.row_log_ratio) store_some(out.through + i, through, n);
    store_some(out.side + i, term.side, n);
    if (c.entropy) entropies.add(weight * column(c.entropy));
    if (c.sampling) {
      const Vector<float> difference = magnitude(old - column(c.sampling));
      differences.add(weight * difference);
      largest = larger<float>(difference, largest);
    }
  });
  *sums = {loss.total(), kls.total(),       k1s.total(),         k2s.total(),
           k3s.total(),  entropies.total(), differences.total(), maximum<float>(largest)};
}
