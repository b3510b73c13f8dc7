/// Rows of logits: statistics and their gradient, block by block. Included once for each
/// instruction set, inside its own namespace.

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// 64-byte aligned room for one block.
struct alignas(64) BlockBuffer {
  float values[kColumnBlock];
};

/// z = c tanh(scale x / c) / temperature. -inf stays -inf.
struct LogitMap {
  float scale, softcap, inverse_temperature;
  explicit LogitMap(const LogitRow& row)
      : scale(row.softcap > 0 ? row.scale / row.softcap : row.scale / row.temperature),
        softcap(row.softcap),
        inverse_temperature(1.0f / row.temperature) {}
  bool identity() const { return softcap == 0 && scale == 1.0f; }
  [[gnu::always_inline]] Vector<float> operator()(Vector<float> x) const {
    if (softcap == 0) return x * scale;
    const Vector<float> z = hyperbolic_tangent(x * scale) * softcap * inverse_temperature;
    return x == kMinusInfinity ? x : z;
  }
  /// dz/dx where z is known.
  [[gnu::always_inline]] Vector<float> slope(Vector<float> z) const {
    if (softcap == 0) return all(scale);
    const Vector<float> share = z / (softcap * inverse_temperature);
    const Vector<float> slope = (1.0f - share * share) * (scale * softcap * inverse_temperature);
    return z == kMinusInfinity ? Vector<float>{} : slope;
  }
};

/// Largest value of whole vectors; -inf for none. NaN is not looked for.
inline float top_of(const float* z, int64_t count) {
  Vector<float> a = all(kMinusInfinity), b = a;
  int64_t i = 0;
  for (; i + 2 * kFloatLanes <= count; i += 2 * kFloatLanes) {
    a = larger<float>(load(z + i), a);
    b = larger<float>(load(z + i + kFloatLanes), b);
  }
  for (; i < count; i += kFloatLanes) a = larger<float>(load(z + i), a);
  return maximum<float>(larger<float>(a, b));
}

/// z of a block into `out`, filled up with -inf to whole vectors; returns the largest.
template <class T, class Map>
inline float map_block(const T* x, int64_t count, const Map& map, float* out) {
  Vector<float> top = all(kMinusInfinity);
  for_each_vector(count, [&](int64_t i, auto n) {
    Vector<float> z = map(load_some(x + i, n));
    for (int64_t lane = n; lane < kFloatLanes; ++lane) z[lane] = kMinusInfinity;
    top = larger<float>(z, top);
    store(out + i, z);
  });
  return maximum<float>(top);
}

inline float map_any(const void* x, Element type, int64_t begin, int64_t count, const LogitMap& map,
                     float* out) {
  float top = kMinusInfinity;
  with_type(type, [&](auto stored) {
    const auto* from = static_cast<const decltype(stored)*>(x) + begin;
    if (map.softcap > 0) {
      top = map_block(from, count, map, out);
    } else {
      top = map_block(
          from, count, [&](Vector<float> v) { return v * map.scale; }, out);
    }
  });
  return top;
}

/// z of a block, filled up with -inf to whole vectors: in the buffer, or x itself where nothing is
/// to be done. `top`, where it is asked for, becomes the largest; NaN is not looked for.
inline const float* logits_of(const LogitRow& row, int64_t begin, int64_t count,
                              BlockBuffer& buffer, float* top = nullptr) {
  const LogitMap map(row);
  const bool combined = row.second != nullptr;
  if (!combined && row.type == Element::float32 && map.identity() && count % kFloatLanes == 0) {
    const float* z = static_cast<const float*>(row.x) + begin;
    if (top) *top = top_of(z, count);
    return z;
  }
  const float largest = map_any(row.x, row.type, begin, count, map, buffer.values);
  if (!combined) {
    if (top) *top = largest;
    return buffer.values;
  }
  BlockBuffer other;
  map_any(row.second, row.second_type, begin, count, map, other.values);
  for (int64_t i = 0; i < count; i += kFloatLanes) {
    // A weight of 0 takes its row out, with its -inf.
    const Vector<float> a =
        row.weight != 0 ? load(buffer.values + i) * row.weight : Vector<float>{};
    const Vector<float> b =
        row.second_weight != 0 ? load(other.values + i) * row.second_weight : Vector<float>{};
    store(buffer.values + i, a + b);
  }
  for (int64_t i = count; i % kFloatLanes != 0; ++i) buffer.values[i] = kMinusInfinity;
  if (top) *top = top_of(buffer.values, count);
  return buffer.values;
}

/// Brings a row's next block into the cache, the line that follows on vector i, while this one is
/// computed on. (One thread: 10.5 to 17.5 GB/s.)
struct Ahead {
  const char* next;
  int64_t bytes;
  Ahead(const LogitRow& row, int64_t end)
      : next(static_cast<const char*>(row.x)), bytes(row.type == Element::float32 ? 4 : 2) {
    next += end * bytes;
  }
  void operator()(int64_t i) const { __builtin_prefetch(next + i * bytes); }
};

inline double sum_of(Vector<float> a, Vector<float> b) {
  return static_cast<double>(sum<float>(a)) + static_cast<double>(sum<float>(b));
}

/// Sums of e^(z - top) over whole vectors, by which of them are asked for.
template <bool kEntropy, bool kSquares>
inline void sum_block(const float* z, int64_t count, float top, const Ahead& ahead,
                      LogitBlock* out) {
  Vector<float> s[2] = {}, e[2] = {}, r[2] = {};
  const auto add = [&](int64_t i, int side) {
    const Vector<float> d = load(z + i) - top, p = exponential(d);
    s[side] += p;
    if constexpr (kEntropy) e[side] += p > 0.0f ? p * d : Vector<float>{};
    if constexpr (kSquares) r[side] += p * p;
  };
  int64_t i = 0;
  for (; i + 2 * kFloatLanes <= count; i += 2 * kFloatLanes) {
    ahead(i);
    ahead(i + kFloatLanes);
    add(i, 0);
    add(i + kFloatLanes, 1);
  }
  for (; i < count; i += kFloatLanes) add(i, 0);
  out->sum = sum_of(s[0], s[1]);
  out->entropy_sum = sum_of(e[0], e[1]);
  out->squares_sum = sum_of(r[0], r[1]);
}

void logit_block(const LogitRow& row, int64_t begin, int64_t count, const LogitWish& wish,
                 LogitBlock* out) {
  BlockBuffer buffer;
  *out = {};
  const float* z = logits_of(row, begin, count, buffer, &out->top);
  const Ahead ahead(row, begin + count);
  // A block of -inf alone: the shift must not be infinite.
  const float shift = out->top == kMinusInfinity ? 0.0f : out->top;
  if (wish.entropy) {
    wish.squares ? sum_block<true, true>(z, count, shift, ahead, out)
                 : sum_block<true, false>(z, count, shift, ahead, out);
  } else {
    wish.squares ? sum_block<false, true>(z, count, shift, ahead, out)
                 : sum_block<false, false>(z, count, shift, ahead, out);
  }
  out->poisoned = out->sum != out->sum || out->top == -kMinusInfinity;
  if (wish.mean) {
    Vector<float> total{}, finite{};
    for (int64_t i = 0; i < count; i += kFloatLanes) {
      const Vector<float> value = load(z + i);
      total += value > kMinusInfinity ? value : Vector<float>{};
      finite += value > kMinusInfinity ? all(1.0f) : Vector<float>{};
    }
    out->total = static_cast<double>(sum<float>(total));
    out->finite = static_cast<int64_t>(sum<float>(finite));
  }
  if (!wish.argmax && !wish.raw) return;
  LogitRow plain = row;
  plain.scale = plain.temperature = 1, plain.softcap = 0;
  BlockBuffer raw_buffer;
  out->raw_top = out->top;
  const float* x =
      LogitMap(row).identity() ? z : logits_of(plain, begin, count, raw_buffer, &out->raw_top);
  if (wish.argmax) {
    for (int64_t i = 0; i < count && out->raw_top > kMinusInfinity; ++i) {
      if (x[i] == out->raw_top) {
        out->argmax = i;
        break;
      }
    }
  }
  if (wish.raw) {
    LogitBlock raw{};
    sum_block<false, false>(x, count, out->raw_top == kMinusInfinity ? 0.0f : out->raw_top, ahead,
                            &raw);
    out->raw_sum = raw.sum;
  }
}

void logit_values(const LogitRow& row, int64_t begin, int64_t count, float* z) {
  BlockBuffer buffer;
  const float* from = logits_of(row, begin, count, buffer);
  for (int64_t i = 0; i < count; ++i) z[i] = from[i];
}

void probabilities(const float* z, int64_t count, float lse, float* p) {
  for_each_vector(count, [&](int64_t i, auto n) {
    store_some(p + i, exponential(load_some(z + i, n) - lse), n);
  });
}

void above(const float* z, const float* p, int64_t count, float threshold, int64_t* number,
           double* mass) {
  *number = 0, *mass = 0;
  for (int64_t begin = 0; begin < count; begin += kColumnBlock) {
    const int64_t end = std::min(count, begin + kColumnBlock);
    Integers hits{};
    Vector<float> sums{};
    int64_t i = begin;
    for (; i + kFloatLanes <= end; i += kFloatLanes) {
      const auto over = load(z + i) > threshold;
      hits -= over;  // true is -1
      sums += over ? load(p + i) : Vector<float>{};
    }
    int32_t lanes[kFloatLanes];
    __builtin_memcpy(lanes, &hits, sizeof lanes);
    for (const int32_t lane : lanes) *number += lane;
    *mass += static_cast<double>(sum<float>(sums));
    for (; i < end; ++i) {
      if (z[i] <= threshold) continue;
      *number += 1;
      *mass += static_cast<double>(p[i]);
    }
  }
}

/// body(i), the vector at i, into columns [begin, begin + count) of a row that is stored as `type`.
template <class Body>
inline void write_any(Element type, int64_t count, void* out, int64_t begin, const Body& body) {
  with_type(type, [&](auto stored) {
    auto* to = static_cast<decltype(stored)*>(out) + begin;
    for_each_vector(count, [&](int64_t i, auto n) { store_some(to + i, body(i), n); });
  });
}

void logit_gradient(const LogitRow& row, int64_t begin, int64_t count, int64_t token, float lse,
                    float entropy, float d_logprob, float d_entropy, float d_lse, float smoothing,
                    void* out) {
  BlockBuffer buffer;
  const LogitMap map(row);
  const float* z = logits_of(row, begin, count, buffer);
  const bool here = token >= begin && token < begin + count;
  float at_token = 0;
  if (here) {
    // For the token itself 1 - p is -expm1(log p), which keeps its digits when p is near 1.
    const float zt = z[token - begin], log_p = zt - lse, p = std::exp(log_p);
    at_token = d_logprob * -std::expm1(log_p) + d_lse * p + smoothing;
    if (d_entropy != 0 && p > 0) at_token -= d_entropy * p * (log_p + entropy);
    at_token *= map.slope(all(zt))[0];
  }
  const float weight = d_lse - d_logprob;
  const Ahead ahead(row, begin + count);
  const auto by_logprob = [&](int64_t i) {
    ahead(i);
    const Vector<float> zi = load(z + i);
    return exponential(zi - lse) * weight * map.slope(zi);
  };
  const auto by_all = [&](int64_t i) {
    const Vector<float> zi = load(z + i), log_p = zi - lse, p = exponential(log_p);
    Vector<float> d = p * weight - (p > 0.0f ? p * (log_p + entropy) * d_entropy : Vector<float>{});
    d += zi > kMinusInfinity ? all(smoothing) : Vector<float>{};
    return d * map.slope(zi);
  };
  if (d_entropy == 0 && smoothing == 0) {
    write_any(row.type, count, out, begin, by_logprob);
  } else {
    write_any(row.type, count, out, begin, by_all);
  }
  if (here) {
    const auto single = [&](int64_t) { return all(at_token); };
    write_any(row.type, 1, out, token, single);
  }
}

template <class T>
inline Vector<float> chosen(const T* x, const int32_t* ids, int64_t count) {
  T lanes[kFloatLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = x[ids[i]];
  return load(lanes);
}
inline Vector<float> chosen_any(const LogitRow& row, const int32_t* ids, int64_t count) {
  Vector<float> out{};
  with_type(row.type, [&](auto stored) {
    out = chosen(static_cast<const decltype(stored)*>(row.x), ids, count);
  });
  return out;
}

void gather_logits(const LogitRow& row, const int32_t* ids, int64_t count, float* z) {
  const LogitMap map(row);
  for_each_vector(
      count, [&](int64_t i, auto n) { store_some(z + i, map(chosen_any(row, ids + i, n)), n); });
}

template <class T>
inline void put(Vector<float> values, const int32_t* ids, int64_t count, void* out) {
  T lanes[kFloatLanes];
  store(lanes, values);
  for (int64_t i = 0; i < count; ++i) static_cast<T*>(out)[ids[i]] = lanes[i];
}

void scatter_gradient(const LogitRow& row, const int32_t* ids, int64_t count, int64_t token,
                      float lse, float d_logprob, float d_lse, void* out) {
  const LogitMap map(row);
  for_each_vector(count, [&](int64_t i, auto n) {
    const Vector<float> z = map(chosen_any(row, ids + i, n)), log_p = z - lse;
    const Vector<float> p = exponential(log_p);
    Vector<float> d = (d_lse - d_logprob) * p;
    for (int64_t k = 0; k < n; ++k) {
      // 1 - p is -expm1(log p), which keeps its digits when p is near 1.
      if (ids[i + k] == token) d[k] = d_logprob * -std::expm1(log_p[k]) + d_lse * p[k];
    }
    d *= map.slope(z);
    with_type(row.type, [&](auto stored) { put<decltype(stored)>(d, ids + i, n, out); });
  });
}
