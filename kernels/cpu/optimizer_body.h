/// The optimizer's step. Included once for each instruction set, inside its own namespace.

double square_sum(const float* x, int64_t count) {
  Vector<double> a{}, b{};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const Vector<double> low = wide(x + i), high = wide(x + i + 8);
    a += low * low;
    b += high * high;
  }
  double total = sum<double>(a + b);
  for (; i < count; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return total;
}

inline Vector<float> square_root(Vector<float> x) {
  Vector<float> out;
  for (int64_t i = 0; i < kFloatLanes; ++i) out[i] = __builtin_sqrtf(x[i]);
  return out;
}

void adamw(float* p, const float* g, float* m, float* v, int64_t count, const AdamWNumbers& o) {
  for_each_vector(count, [&](int64_t i, auto n) {
    const Vector<float> gradient = load_some(g + i, n) * o.gradient_scale;
    const Vector<float> first = load_some(m + i, n) * o.beta1 + gradient * o.rest1;
    const Vector<float> second = load_some(v + i, n) * o.beta2 + gradient * gradient * o.rest2;
    store_some(m + i, first, n);
    store_some(v + i, second, n);
    const Vector<float> root = square_root(second) / o.root + o.epsilon;
    store_some(p + i, load_some(p + i, n) * o.decay - o.rate * first / root, n);
  });
}
