/// Pieces of a decoder layer: normalisation, rotary positions, SwiGLU. Included once for each
/// instruction set, inside its own namespace.

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
