/// 64-byte vectors for the bodies, in GCC's and clang's vector extension: one zmm register on
/// AVX-512, two ymm on AVX2, with the same lane order, so that both give the same sums. Included
/// once for each instruction set, inside its own namespace.

template <class T>
struct VectorOf {
  static constexpr int64_t kLanes = 64 / static_cast<int64_t>(sizeof(T));
  typedef T Type __attribute__((vector_size(64)));
  typedef T Loose __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));
};
template <class T>
using Vector = typename VectorOf<T>::Type;
template <class T>
constexpr int64_t kLanes = VectorOf<T>::kLanes;
typedef int32_t Integers __attribute__((vector_size(64)));

template <class T>
inline Vector<T> load(const T* p) {
  return *reinterpret_cast<const typename VectorOf<T>::Loose*>(p);
}
template <class T>
inline void store(T* p, Vector<T> v) {
  *reinterpret_cast<typename VectorOf<T>::Loose*>(p) = v;
}
template <class T>
inline Vector<T> all(T x) {
  return x - Vector<T>{};
}
template <class T>
inline Vector<T> larger(Vector<T> a, Vector<T> b) {
  return a > b ? a : b;
}

/// Sum and maximum of the lanes, halves first: the same tree on every instruction set.
template <class T>
inline T sum(Vector<T> v) {
  T lanes[kLanes<T>];
  store(lanes, v);
  for (int64_t step = kLanes<T> / 2; step > 0; step /= 2) {
    for (int64_t i = 0; i < step; ++i) lanes[i] += lanes[i + step];
  }
  return lanes[0];
}
template <class T>
inline T maximum(Vector<T> v) {
  T lanes[kLanes<T>];
  store(lanes, v);
  for (int64_t step = kLanes<T> / 2; step > 0; step /= 2) {
    for (int64_t i = 0; i < step; ++i)
      lanes[i] = lanes[i] > lanes[i + step] ? lanes[i] : lanes[i + step];
  }
  return lanes[0];
}

/// e^x: relative error below 2e-7; exactly 1 at 0, exactly 0 below -87.3 (e^x would be denormal);
/// NaN stays NaN. x <= 88.
inline Vector<float> exponential(Vector<float> x) {
  constexpr float kLog2E = 1.44269504088896341f, kLn2High = 0.693145751953125f,
                  kLn2Low = 1.42860682030941723e-6f;
  constexpr float kRound =
      12582912.0f;  // 1.5 x 2^23: adding it leaves the nearest integer in the low bits
  constexpr float kLeast = -87.3f;
  const Vector<float> at_least = x < kLeast ? all(kLeast) : x;
  const Vector<float> clamped = at_least > 88.0f ? all(88.0f) : at_least;
  const Vector<float> shifted = clamped * kLog2E + kRound;
  const Vector<float> n = shifted - kRound;
  const Vector<float> r = (clamped - n * kLn2High) - n * kLn2Low;
  // Taylor's series of e^r to the sixth degree on |r| <= ln 2 / 2.
  Vector<float> p = r * (1.0f / 720) + (1.0f / 120);
  p = p * r + (1.0f / 24);
  p = p * r + (1.0f / 6);
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const Integers exponent = reinterpret_cast<Integers>(shifted)
                            << 23;  // kRound's own low bits are zero
  const Vector<float> scaled =
      reinterpret_cast<Vector<float>>(reinterpret_cast<Integers>(p) + exponent);
  const Vector<float> result = x < kLeast ? Vector<float>{} : scaled;
  return x == x ? result : x;
}
inline Vector<double> exponential(Vector<double> x) {
  Vector<double> out;
  for (int64_t i = 0; i < kLanes<double>; ++i) out[i] = std::exp(x[i]);
  return out;
}

template <class T>
inline T exponential_of(T x) {
  return exponential(all(x))[0];
}
