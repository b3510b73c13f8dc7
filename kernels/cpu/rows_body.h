/// Row kernels: normalisation, rotary positions, SwiGLU, token statistics. Included once for
/// each instruction set, inside its own namespace.

constexpr int64_t kFloatLanes = kLanes<float>;

void rms_norm(const float* x, const float* weight, float offset, float epsilon, int64_t rows,
              int64_t width, float* out, float* rstd) {
  const int64_t whole = width / kFloatLanes * kFloatLanes;
  for (int64_t r = 0; r < rows; ++r, x += width, out += width) {
    Vector<float> squares{};
    for (int64_t i = 0; i < whole; i += kFloatLanes) squares += load(x + i) * load(x + i);
    float total = sum<float>(squares);
    for (int64_t i = whole; i < width; ++i) total += x[i] * x[i];
    const float scale = 1.0f / std::sqrt(total / static_cast<float>(width) + epsilon);
    rstd[r] = scale;
    for (int64_t i = 0; i < whole; i += kFloatLanes)
      store(out + i, load(x + i) * scale * (load(weight + i) + offset));
    for (int64_t i = whole; i < width; ++i) out[i] = x[i] * scale * (weight[i] + offset);
  }
}

// With n = x rstd and g = d_out (weight + offset): d_x = rstd (g - n mean(g n)); d_weight = sum
// over rows of d_out n.
void rms_norm_backward(const float* x, const float* weight, float offset, const float* rstd,
                       const float* d_out, int64_t rows, int64_t width, float* d_x,
                       double* d_weight) {
  const int64_t whole = width / kFloatLanes * kFloatLanes;
  for (int64_t r = 0; r < rows; ++r, x += width, d_out += width, d_x += width) {
    const float scale = rstd[r];
    Vector<float> products{};
    for (int64_t i = 0; i < whole; i += kFloatLanes)
      products += load(d_out + i) * (load(weight + i) + offset) * load(x + i);
    float total = sum<float>(products);
    for (int64_t i = whole; i < width; ++i) total += d_out[i] * (weight[i] + offset) * x[i];
    const float mean = total * scale / static_cast<float>(width);
    for (int64_t i = 0; i < whole; i += kFloatLanes) {
      const Vector<float> n = load(x + i) * scale;
      store(d_x + i, (load(d_out + i) * (load(weight + i) + offset) - n * mean) * scale);
    }
    for (int64_t i = whole; i < width; ++i)
      d_x[i] = (d_out[i] * (weight[i] + offset) - x[i] * scale * mean) * scale;
    if (d_weight) {
      for (int64_t i = 0; i < width; ++i)
        d_weight[i] += static_cast<double>(d_out[i] * (x[i] * scale));
    }
  }
}

void rope(const float* x, const float* cosine, const float* sine, float sign, int64_t tokens,
          int64_t heads, int64_t width, int64_t half, int64_t token_stride, float* out) {
  for (int64_t t = 0; t < tokens; ++t, cosine += half, sine += half) {
    for (int64_t h = 0; h < heads; ++h, out += width) {
      const float* from = x + t * token_stride + h * width;
      for (int64_t i = 0; i < half; ++i) {
        const float a = from[i], b = from[half + i], c = cosine[i], s = sign * sine[i];
        out[i] = a * c - b * s;
        out[half + i] = b * c + a * s;
      }
      for (int64_t i = 2 * half; i < width; ++i) out[i] = from[i];
    }
  }
}

inline Vector<float> sigmoid(Vector<float> x) {
  // e^-|x| never overflows.
  const Vector<float> e = exponential(x > 0.0f ? -x : x), share = e / (1.0f + e);
  return x > 0.0f ? 1.0f - share : (x == x ? share : x);
}

/// Calls body(vector of each input at i) for whole vectors, and for the rest through a padded copy.
template <class Body>
inline void for_each_vector(int64_t count, const Body& body) {
  for (int64_t i = 0; i < count; i += kFloatLanes) body(i, std::min(kFloatLanes, count - i));
}
inline Vector<float> load_some(const float* p, int64_t count) {
  if (count == kFloatLanes) return load(p);
  float lanes[kFloatLanes] = {};
  std::copy(p, p + count, lanes);
  return load(lanes);
}
inline void store_some(float* p, Vector<float> v, int64_t count) {
  if (count == kFloatLanes) return store(p, v);
  float lanes[kFloatLanes];
  store(lanes, v);
  std::copy(lanes, lanes + count, p);
}

void swiglu(const float* gate, const float* up, int64_t count, float* out) {
  for_each_vector(count, [&](int64_t i, int64_t n) {
    const Vector<float> g = load_some(gate + i, n);
    store_some(out + i, g * sigmoid(g) * load_some(up + i, n), n);
  });
}

// d silu(g) = s (1 + g (1 - s)), s = sigmoid(g).
void swiglu_backward(const float* gate, const float* up, const float* d_out, int64_t count,
                     float* d_gate, float* d_up) {
  for_each_vector(count, [&](int64_t i, int64_t n) {
    const Vector<float> g = load_some(gate + i, n), d = load_some(d_out + i, n), s = sigmoid(g);
    store_some(d_up + i, d * (g * s), n);
    store_some(d_gate + i, d * load_some(up + i, n) * (s * (1.0f + g * (1.0f - s))), n);
  });
}

/// z = softcap(scale x) / temperature.
inline Vector<float> transformed(Vector<float> x, float scale, float softcap, float temperature) {
  Vector<float> z = x * scale;
  if (softcap > 0) {
    for (int64_t i = 0; i < kFloatLanes; ++i) z[i] = softcap * std::tanh(z[i] / softcap);
  }
  return z / temperature;
}

/// (m, s, e) of kernels.md 3.2 over fixed blocks of columns: maximum, sum e^(z-m), sum
/// e^(z-m)(z-m); r = sum e^2(z-m).
void row_stats(const float* x, int64_t vocabulary, float scale, float softcap, float temperature,
               float* lse, float* entropy, float* sum_squares, int64_t* argmax, float* mean) {
  constexpr int64_t kColumnBlock = 4096;
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  const bool plain = softcap == 0 && scale == 1.0f && temperature == 1.0f;
  alignas(64) float z[kColumnBlock];
  double m = kNone, s = 0, e = 0, r = 0, total = 0;
  float best = kNone;
  int64_t best_at = 0;
  bool poisoned = false;
  for (int64_t begin = 0; begin < vocabulary; begin += kColumnBlock) {
    const int64_t count = std::min(kColumnBlock, vocabulary - begin);
    Vector<float> highest = all(kNone), sums{};
    for (int64_t i = 0; i < count; i += kFloatLanes) {
      const int64_t n = std::min(kFloatLanes, count - i);
      Vector<float> raw = load_some(x + begin + i, n),
                    value = plain ? raw : transformed(raw, scale, softcap, temperature);
      if (mean) sums += raw;
      for (int64_t lane = n; lane < kFloatLanes; ++lane) value[lane] = kNone;
      store(z + i, value);
      highest = larger<float>(highest, value);
    }
    const float top = maximum<float>(highest);
    if (mean) total += static_cast<double>(sum<float>(sums));
    if (argmax && top > best) {
      best = top;
      for (int64_t i = 0; i < count; ++i) {
        if (z[i] == top) {
          best_at = begin + i;
          break;
        }
      }
    }
    const float shift = top == kNone ? 0.0f : top;
    Vector<float> vs{}, ve{}, vr{};
    for (int64_t i = 0; i < count; i += kFloatLanes) {
      const Vector<float> d = load(z + i) - shift, p = exponential(d);
      vs += p;
      if (entropy) ve += p > 0.0f ? p * d : (d == d ? Vector<float>{} : d);
      if (sum_squares) vr += p * p;
    }
    const double bs = static_cast<double>(sum<float>(vs)), be = static_cast<double>(sum<float>(ve)),
                 br = static_cast<double>(sum<float>(vr));
    if (bs != bs || top == std::numeric_limits<float>::infinity()) poisoned = true;
    if (top == kNone) continue;
    const double M = std::max(m, static_cast<double>(top)), d1 = m - M,
                 d2 = static_cast<double>(top) - M;
    const double f1 = s > 0 ? std::exp(d1) : 0.0, f2 = std::exp(d2);
    e = (s > 0 ? f1 * (e + s * d1) : 0.0) + f2 * (be + bs * d2);
    r = f1 * f1 * r + f2 * f2 * br;
    s = f1 * s + f2 * bs;
    m = M;
  }
  const double nan = std::numeric_limits<double>::quiet_NaN();
  *lse = static_cast<float>(poisoned ? nan : m + std::log(s));
  if (entropy)
    *entropy = static_cast<float>(poisoned ? nan
                                  : s > 0  ? std::max(0.0, std::log(s) - e / s)
                                           : 0.0);
  if (sum_squares)
    *sum_squares = static_cast<float>(poisoned ? nan : std::log(r) - 2 * std::log(s));
  if (argmax) *argmax = best_at;
  if (mean) *mean = static_cast<float>(total / static_cast<double>(vocabulary));
}

// dz_i = d_logprob (1[i = token] - p_i) - d_entropy p_i (log p_i + entropy); dx_i = J_i dz_i
// (kernels.md F2, section 1).
void row_gradient(float* x, int64_t vocabulary, int64_t token, float scale, float softcap,
                  float temperature, float lse, float entropy, float d_logprob, float d_entropy) {
  const bool plain = softcap == 0 && scale == 1.0f && temperature == 1.0f;
  const float slope = scale / temperature;
  const float z_token = transformed(all(x[token]), scale, softcap, temperature)[0],
              capped = z_token * temperature / (softcap > 0 ? softcap : 1.0f);
  for_each_vector(vocabulary, [&](int64_t i, int64_t n) {
    const Vector<float> raw = load_some(x + i, n),
                        z = plain ? raw : transformed(raw, scale, softcap, temperature);
    const Vector<float> log_p = z - lse, p = exponential(log_p);
    Vector<float> d = p * -d_logprob;
    if (d_entropy != 0) d -= p > 0.0f ? p * (log_p + entropy) * d_entropy : Vector<float>{};
    if (softcap > 0) {
      const Vector<float> share = z * (temperature / softcap);
      d *= 1.0f - share * share;
    }
    store_some(x + i, d * slope, n);
  });
  // For the token itself 1 - p is -expm1(log p), which keeps its digits when p is near 1.
  const float log_p = z_token - lse, p = std::exp(log_p);
  float d = d_logprob * -std::expm1(log_p);
  if (d_entropy != 0 && p > 0) d -= d_entropy * p * (log_p + entropy);
  x[token] = d * slope * (softcap > 0 ? 1.0f - capped * capped : 1.0f);
}
