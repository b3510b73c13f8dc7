/// Pieces of a decoder layer: normalisation, rotary positions, gated units, the table of tokens.
/// Included once for each instruction set, inside its own namespace.

/// Calls body(T{}) with the type in which the numbers are stored.
template <class Body>
inline void with_type(Element type, const Body& body) {
  switch (type) {
    case Element::float32: return body(float{});
    case Element::bfloat16: return body(Bfloat16{});
    case Element::float16: break;
  }
  body(Float16{});
}

template <class T>
inline void rms_norm_rows(const NormRows& o, const T* residual, T* sums, T* out, float* rstd) {
  const T* x = static_cast<const T*>(o.x);
  for (int64_t r = 0; r < o.rows; ++r, x += o.width, out += o.width) {
    const T* row = x;
    if (residual) {
      // What is stored is what is normalised, rounding included.
      for_each_vector(o.width, [&](int64_t i, auto n) {
        store_some(sums + i, load_some(x + i, n) + load_some(residual + i, n), n);
      });
      row = sums;
      residual += o.width, sums += o.width;
    }
    Vector<float> squares{};
    for_each_vector(o.width, [&](int64_t i, auto n) {
      const Vector<float> v = load_some(row + i, n);
      squares += v * v;
    });
    const float mean = sum<float>(squares) / static_cast<float>(o.width);
    const float scale = 1.0f / std::sqrt(mean + o.epsilon);
    rstd[r] = scale;
    for_each_vector(o.width, [&](int64_t i, auto n) {
      const Vector<float> weight = load_some(o.weight + i, n) + o.offset;
      store_some(out + i, load_some(row + i, n) * scale * weight, n);
    });
  }
}

void rms_norm(const NormRows& rows, const void* residual, void* sums, void* out, float* rstd) {
  with_type(rows.type, [&](auto type) {
    using T = decltype(type);
    rms_norm_rows<T>(rows, static_cast<const T*>(residual), static_cast<T*>(sums),
                     static_cast<T*>(out), rstd);
  });
}

// With n = x rstd and g = d_out (weight + offset): d_x = rstd (g - n mean(g n)); d_weight = sum
// over rows of d_out n.
template <class T>
inline void rms_norm_backward_rows(const NormRows& o, const float* rstd, const T* d_out,
                                   const T* d_sum, T* d_x, double* d_weight) {
  const T* x = static_cast<const T*>(o.x);
  for (int64_t r = 0; r < o.rows; ++r, x += o.width, d_out += o.width, d_x += o.width) {
    const float scale = rstd[r];
    Vector<float> products{};
    for_each_vector(o.width, [&](int64_t i, auto n) {
      const Vector<float> g = load_some(d_out + i, n) * (load_some(o.weight + i, n) + o.offset);
      products += g * load_some(x + i, n);
    });
    const float mean = sum<float>(products) * scale / static_cast<float>(o.width);
    for_each_vector(o.width, [&](int64_t i, auto n) {
      const Vector<float> d = load_some(d_out + i, n), normal = load_some(x + i, n) * scale;
      Vector<float> g = (d * (load_some(o.weight + i, n) + o.offset) - normal * mean) * scale;
      if (d_sum) g += load_some(d_sum + i, n);
      store_some(d_x + i, g, n);
      if (!d_weight) return;
      float share[kFloatLanes];
      store(share, d * normal);
      if (n == kFloatLanes) {
        store(d_weight + i, load(d_weight + i) + wide(share));
        store(d_weight + i + n / 2, load(d_weight + i + n / 2) + wide(share + n / 2));
      } else {
        for (int64_t k = 0; k < n; ++k) d_weight[i + k] += static_cast<double>(share[k]);
      }
    });
    if (d_sum) d_sum += o.width;
  }
}

void rms_norm_backward(const NormRows& rows, const float* rstd, const void* d_out,
                       const void* d_sum, void* d_x, double* d_weight) {
  with_type(rows.type, [&](auto type) {
    using T = decltype(type);
    rms_norm_backward_rows<T>(rows, rstd, static_cast<const T*>(d_out),
                              static_cast<const T*>(d_sum), static_cast<T*>(d_x), d_weight);
  });
}

template <class T>
inline void rope_rows(const T* x, const float* cosine, const float* sine, float sign,
                      int64_t tokens, int64_t heads, int64_t width, int64_t half,
                      int64_t token_stride, T* out) {
  for (int64_t t = 0; t < tokens; ++t, cosine += half, sine += half) {
    for (int64_t h = 0; h < heads; ++h, out += width) {
      const T* from = x + t * token_stride + h * width;
      for_each_vector(half, [&](int64_t i, auto n) {
        const Vector<float> a = load_some(from + i, n), b = load_some(from + half + i, n);
        const Vector<float> c = load_some(cosine + i, n), s = load_some(sine + i, n) * sign;
        store_some(out + i, a * c - b * s, n);
        store_some(out + half + i, b * c + a * s, n);
      });
      for (int64_t i = 2 * half; i < width; ++i) out[i] = from[i];
    }
  }
}

void rope(Element type, const void* x, const float* cosine, const float* sine, float sign,
          int64_t tokens, int64_t heads, int64_t width, int64_t half, int64_t token_stride,
          void* out) {
  with_type(type, [&](auto stored) {
    using T = decltype(stored);
    rope_rows<T>(static_cast<const T*>(x), cosine, sine, sign, tokens, heads, width, half,
                 token_stride, static_cast<T*>(out));
  });
}

/// 1 / (1 + e^-x), by e^-|x|, which never overflows; NaN stays NaN.
[[gnu::always_inline]] inline Vector<float> sigmoid(Vector<float> x) {
  const Vector<float> e = exponential(x > 0.0f ? -x : x);
  return (x > 0.0f ? all(1.0f) : e) / (1.0f + e);
}

/// act(g) = g s, s = sigmoid(g) for silu and sigmoid(2 u) for gelu, u = sqrt(2 / pi) (g + 0.044715
/// g^3), since (1 + tanh u) / 2 is the sigmoid of 2 u. `slope`: of the sigmoid's argument.
template <Gate kAct>
struct Activation {
  Vector<float> share, slope;
  [[gnu::always_inline]] explicit Activation(Vector<float> g) {
    constexpr float kTwice = 1.59576912160573f;  // 2 sqrt(2 / pi)
    if constexpr (kAct == Gate::silu) {
      share = sigmoid(g);
      slope = all(1.0f);
    } else {
      const Vector<float> q = g * g;
      share = sigmoid(kTwice * g * (1.0f + 0.044715f * q));
      slope = kTwice * (1.0f + 3 * 0.044715f * q);
    }
  }
};

/// Calls body(T{}, the gate as a constant).
template <class Body>
inline void with_type_and_gate(Element type, Gate act, const Body& body) {
  with_type(type, [&](auto stored) {
    if (act == Gate::silu) return body(stored, std::integral_constant<Gate, Gate::silu>{});
    body(stored, std::integral_constant<Gate, Gate::gelu>{});
  });
}

void gated(Element type, Gate act, const void* gate, const void* up, int64_t count, void* out) {
  with_type_and_gate(type, act, [&](auto stored, auto chosen) {
    using T = decltype(stored);
    constexpr Gate kAct = chosen();
    for_each_vector(count, [&](int64_t i, auto n) {
      const Vector<float> g = load_some(static_cast<const T*>(gate) + i, n);
      const Vector<float> u = load_some(static_cast<const T*>(up) + i, n);
      store_some(static_cast<T*>(out) + i, g * Activation<kAct>(g).share * u, n);
    });
  });
}

// d (g s) = s + g s (1 - s) slope, where s is at 0 or 1 exactly s: slope may have overflowed there.
void gated_backward(Element type, Gate act, const void* gate, const void* up, const void* d_out,
                    int64_t count, void* d_gate, void* d_up) {
  with_type_and_gate(type, act, [&](auto stored, auto chosen) {
    using T = decltype(stored);
    constexpr Gate kAct = chosen();
    for_each_vector(count, [&](int64_t i, auto n) {
      const Vector<float> g = load_some(static_cast<const T*>(gate) + i, n);
      const Vector<float> u = load_some(static_cast<const T*>(up) + i, n);
      const Vector<float> d = load_some(static_cast<const T*>(d_out) + i, n);
      const Activation<kAct> at(g);
      const Vector<float> s = at.share, bend = s * (1.0f - s);
      const Vector<float> by_gate = s + (bend != 0.0f ? g * bend * at.slope : Vector<float>{});
      store_some(static_cast<T*>(d_up) + i, d * (g * s), n);
      store_some(static_cast<T*>(d_gate) + i, d * u * by_gate, n);
    });
  });
}

void add_rows(const float* rows, const int64_t* ids, int64_t count, int64_t width, int64_t begin,
              int64_t end, float* table) {
  for (int64_t r = 0; r < count; ++r) {
    const float* from = rows + r * width + begin;
    float* to = table + ids[r] * width + begin;
    for_each_vector(end - begin, [&](int64_t i, auto n) {
      store_some(to + i, load_some(to + i, n) + load_some(from + i, n), n);
    });
  }
}
