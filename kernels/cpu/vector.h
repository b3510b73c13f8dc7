/// 64-byte vectors for the bodies, in GCC's and clang's vector extension: one zmm register on
/// AVX-512, two ymm on AVX2, with the same lane order, so that both give the same sums. Included
/// once for each instruction set, inside its own namespace.

template <class T>
requires(sizeof(T) >= 4) struct VectorOf {
  static constexpr int64_t kLanes = 64 / static_cast<int64_t>(sizeof(T));
  typedef T Type __attribute__((vector_size(64)));
  typedef T Loose __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));
};
template <class T>
using Vector = typename VectorOf<T>::Type;
template <class T>
constexpr int64_t kLanes = VectorOf<T>::kLanes;
constexpr int64_t kFloatLanes = kLanes<float>;
typedef int32_t Integers __attribute__((vector_size(64)));

template <class T>
requires(sizeof(T) >= 4) inline Vector<T> load(const T* p) {
  return *reinterpret_cast<const typename VectorOf<T>::Loose*>(p);
}
template <class T>
requires(sizeof(T) >= 4) inline void store(T* p, Vector<T> v) {
  *reinterpret_cast<typename VectorOf<T>::Loose*>(p) = v;
}
template <class T>
inline Vector<T> all(T x) {
  return x - Vector<T>{};
}
#ifdef __AVX512F__
/// All lanes. GCC 12 takes what the intrinsics without a mask leave undefined for a mistake of
/// ours.
constexpr __mmask16 kAllLanes = 0xffff;
#endif

/// a > b ? a : b, so b where either is NaN; likewise the smaller. One instruction of AVX-512, where
/// the condition takes two.
template <class T>
inline Vector<T> larger(Vector<T> a, Vector<T> b) {
#ifdef __AVX512F__
  if constexpr (std::is_same_v<T, float>) return _mm512_maskz_max_ps(kAllLanes, a, b);
#endif
  return a > b ? a : b;
}
template <class T>
inline Vector<T> smaller(Vector<T> a, Vector<T> b) {
#ifdef __AVX512F__
  if constexpr (std::is_same_v<T, float>) return _mm512_maskz_min_ps(kAllLanes, a, b);
#endif
  return a < b ? a : b;
}

/// Eight floats in float64.
inline Vector<double> wide(const float* p) {
  typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));
  return __builtin_convertvector(*reinterpret_cast<const Eight*>(p), Vector<double>);
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
[[gnu::always_inline]] inline Vector<float> exponential(Vector<float> x) {
  constexpr float kLog2E = 1.44269504088896341f, kLn2High = 0.693145751953125f,
                  kLn2Low = 1.42860682030941723e-6f;
  // 1.5 x 2^23, which leaves the nearest integer in the low bits, and the exponent's bias of 127.
  constexpr float kRound = 12582912.0f + 127.0f;
  constexpr float kLeast = -87.3f;
  const Vector<float> clamped = smaller<float>(all(88.0f), larger<float>(all(kLeast), x));
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
  // A product with 2^n, exact, and NaN where p is.
  const Vector<float> power =
      reinterpret_cast<Vector<float>>(reinterpret_cast<Integers>(shifted) << 23);
  return x < kLeast ? Vector<float>{} : p * power;
}
inline Vector<double> exponential(Vector<double> x) {
  Vector<double> out;
  for (int64_t i = 0; i < kLanes<double>; ++i) out[i] = std::exp(x[i]);
  return out;
}

/// e^x = power (1 + rest), power = 2^n, |log(1 + rest)| <= ln 2 / 2, |x| <= 87: what e^x - 1 and
/// e^x - 1 - x are made of where e^x itself would lose their digits.
struct SplitExponential {
  Vector<float> power, rest;
  [[gnu::always_inline]] explicit SplitExponential(Vector<float> x) {
    constexpr float kRound = 12582912.0f + 127.0f;  // as above
    const Vector<float> shifted = x * 1.44269504088896341f + kRound;
    const Vector<float> n = shifted - kRound;
    const Vector<float> r = (x - n * 0.693145751953125f) - n * 1.42860682030941723e-6f;
    Vector<float> p = r * (1.0f / 5040) + (1.0f / 720);
    p = p * r + (1.0f / 120);
    p = p * r + (1.0f / 24);
    p = p * r + (1.0f / 6);
    p = p * r + 0.5f;
    rest = p * r * r + r;
    power = reinterpret_cast<Vector<float>>(reinterpret_cast<Integers>(shifted) << 23);
  }
};

/// e^x - 1 for |x| <= 87: relative error below 5e-7, also near 0; NaN stays NaN.
[[gnu::always_inline]] inline Vector<float> exponential_less_one(Vector<float> x) {
  const SplitExponential e(x);
  return e.power * e.rest + (e.power - 1.0f);
}

/// e^x - 1 - x for |x| < 0.5, by its series: no digit is lost near 0.
[[gnu::always_inline]] inline Vector<float> excess_near_zero(Vector<float> x) {
  Vector<float> p = x * (1.0f / 40320) + (1.0f / 5040);
  p = p * x + (1.0f / 720);
  p = p * x + (1.0f / 120);
  p = p * x + (1.0f / 24);
  p = p * x + (1.0f / 6);
  p = p * x + 0.5f;
  return p * x * x;
}
/// The same for |x| <= 87: relative error below 1e-6; NaN stays NaN.
[[gnu::always_inline]] inline Vector<float> excess(Vector<float> x) {
  const SplitExponential e(x);
  const Vector<float> size = x < 0.0f ? -x : x;
  return size < 0.5f ? excess_near_zero(x) : e.power * e.rest + ((e.power - 1.0f) - x);
}

template <class T>
inline T exponential_of(T x) {
  return exponential(all(x))[0];
}

/// log x for normal x > 0: relative error below 2e-7 away from 1, absolute below 1e-7 near it;
/// exactly 0 at 1.
[[gnu::always_inline]] inline Vector<float> logarithm(Vector<float> x) {
  const Integers bits = reinterpret_cast<Integers>(x);
  // x = 2^n m with m in [sqrt(1/2), sqrt(2)): 0x3f3504f3 is sqrt(1/2).
  const Integers n = (bits - 0x3f3504f3) >> 23;
  const Vector<float> m = reinterpret_cast<Vector<float>>(bits - (n << 23));
  // log m = 2 artanh(s), s = (m - 1) / (m + 1), by its series.
  const Vector<float> s = (m - 1.0f) / (m + 1.0f), q = s * s;
  Vector<float> p = q * (1.0f / 9) + (1.0f / 7);
  p = p * q + (1.0f / 5);
  p = p * q + (1.0f / 3);
  const Vector<float> whole = __builtin_convertvector(n, Vector<float>);
  return whole * 0.693147180559945f + 2.0f * (s + s * q * p);
}

/// tanh x: absolute error below 2e-7, relative below 1e-6; NaN stays NaN.
[[gnu::always_inline]] inline Vector<float> hyperbolic_tangent(Vector<float> x) {
  const Vector<float> size = x > 0.0f ? x : -x, capped = size > 40.0f ? all(40.0f) : size;
  const Vector<float> far = 1.0f - 2.0f / (exponential(2.0f * capped) + 1.0f);
  // Near 0 the difference from 1 loses digits: Taylor's series.
  const Vector<float> q = x * x;
  Vector<float> p = q * (62.0f / 2835) - (17.0f / 315);
  p = p * q + (2.0f / 15);
  p = p * q - (1.0f / 3);
  const Vector<float> near = size + size * q * p, value = size < 0.25f ? near : far;
  return x < 0.0f ? -value : (x == x ? value : x);
}

/// How many numbers a whole vector has, told by the type.
using WholeVector = std::integral_constant<int64_t, kFloatLanes>;

/// Calls body(i, n) for the n numbers from i on: for whole vectors with n a WholeVector, in a loop
/// without branches and calls, and once with an int64_t for what is left.
template <class Body>
[[gnu::always_inline]] inline void for_each_vector(int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + kFloatLanes <= count; i += kFloatLanes) body(i, WholeVector{});
  if (i < count) body(i, count - i);
}

// ---- bfloat16 and float16 ----

typedef uint16_t Halves __attribute__((vector_size(32)));
typedef uint16_t LooseHalves __attribute__((vector_size(32), aligned(2), may_alias));
typedef uint32_t Words __attribute__((vector_size(64)));

struct Bfloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

#ifdef __AVX512F__
inline Words widened(const void* p) {
  return reinterpret_cast<Words>(
      _mm512_maskz_cvtepu16_epi32(kAllLanes, _mm256_loadu_si256(static_cast<const __m256i*>(p))));
}
inline void store_low_halves(void* p, Words words) {
  _mm256_storeu_si256(static_cast<__m256i*>(p),
                      _mm512_maskz_cvtepi32_epi16(kAllLanes, reinterpret_cast<__m512i>(words)));
}
inline Vector<float> load(const Float16* p) {
  return _mm512_maskz_cvtph_ps(kAllLanes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline void store(Float16* p, Vector<float> v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_maskz_cvtps_ph(kAllLanes, v, _MM_FROUND_TO_NEAREST_INT));
}
#else
inline Words widened(const void* p) {
  return __builtin_convertvector(*static_cast<const LooseHalves*>(p), Words);
}
inline void store_low_halves(void* p, Words words) {
  *static_cast<LooseHalves*>(p) = __builtin_convertvector(words, Halves);
}
inline Vector<float> load(const Float16* p) {
  const auto* halves = reinterpret_cast<const __m128i*>(p);
  alignas(64) float lanes[16];
  _mm256_store_ps(lanes, _mm256_cvtph_ps(_mm_loadu_si128(halves)));
  _mm256_store_ps(lanes + 8, _mm256_cvtph_ps(_mm_loadu_si128(halves + 1)));
  return load(lanes);
}
inline void store(Float16* p, Vector<float> v) {
  alignas(64) float lanes[16];
  store(lanes, v);
  auto* halves = reinterpret_cast<__m128i*>(p);
  _mm_storeu_si128(halves, _mm256_cvtps_ph(_mm256_load_ps(lanes), _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(halves + 1,
                   _mm256_cvtps_ph(_mm256_load_ps(lanes + 8), _MM_FROUND_TO_NEAREST_INT));
}
#endif
inline Vector<float> load(const Bfloat16* p) {
  return reinterpret_cast<Vector<float>>(widened(p) << 16);
}
inline void store(Bfloat16* p, Vector<float> v) {
  const Words bits = reinterpret_cast<Words>(v);
  // To nearest, ties to even; a NaN becomes the quiet NaN.
  const Words rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const Words quiet = Words{} + 0x7fc00000u;
  store_low_halves(p, (v == v ? rounded : quiet) >> 16);
}

template <class T>
[[gnu::always_inline]] inline Vector<float> load_some(const T* p, WholeVector) {
  return load(p);
}
template <class T>
inline Vector<float> load_some(const T* p, int64_t count) {
  T lanes[kFloatLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = p[i];
  return load(lanes);
}
template <class T>
[[gnu::always_inline]] inline void store_some(T* p, Vector<float> v, WholeVector) {
  store(p, v);
}
template <class T>
inline void store_some(T* p, Vector<float> v, int64_t count) {
  T lanes[kFloatLanes];
  store(lanes, v);
  for (int64_t i = 0; i < count; ++i) p[i] = lanes[i];
}
