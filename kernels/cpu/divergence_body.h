/// Divergences between two rows of logits, block by block. Included once for each instruction set,
/// inside its own namespace.

/// kernels.md 3.3: everything about two rows that one read can tell.
void pair_block(const LogitRow& first, const LogitRow& second, int64_t begin, int64_t count,
                PairBlock* out) {
  BlockBuffer first_buffer, second_buffer;
  const float* z = logits_of(first, begin, count, first_buffer, &out->top_z);
  const float* w = logits_of(second, begin, count, second_buffer, &out->top_w);
  const Ahead ahead_z(first, begin + count), ahead_w(second, begin + count);
  const float shift_z = out->top_z == kMinusInfinity ? 0.0f : out->top_z;
  const float shift_w = out->top_w == kMinusInfinity ? 0.0f : out->top_w;
  Vector<float> s{}, u{}, a{}, b{};
  for (int64_t i = 0; i < count; i += kFloatLanes) {
    ahead_z(i), ahead_w(i);
    const Vector<float> dz = load(z + i) - shift_z, dw = load(w + i) - shift_w;
    const Vector<float> p = exponential(dz), q = exponential(dw), t = dz - dw;
    s += p, u += q;
    a += p > 0.0f ? p * t : Vector<float>{};
    b -= q > 0.0f ? q * t : Vector<float>{};
  }
  out->sum_z = static_cast<double>(sum<float>(s)), out->sum_w = static_cast<double>(sum<float>(u));
  out->reverse = static_cast<double>(sum<float>(a));
  out->forward = static_cast<double>(sum<float>(b));
  out->poisoned = out->sum_z != out->sum_z || out->sum_w != out->sum_w ||
                  out->top_z == -kMinusInfinity || out->top_w == -kMinusInfinity;
}

/// p (e^d - 1 - d) with q = p e^d: a term of KL(p || q) that is never negative.
[[gnu::always_inline]] inline Vector<float> term(Vector<float> p, Vector<float> q,
                                                 Vector<float> d) {
  const Vector<float> size = d < 0.0f ? -d : d;
  const Vector<float> value = size < 0.5f ? p * excess_near_zero(d) : q - p * (1.0f + d);
  return p > 0.0f ? value : q;
}

/// log P, log Q of a column and what follows from them.
struct Columns {
  Vector<float> log_p, log_q, p, q;
  [[gnu::always_inline]] Columns(Vector<float> z, Vector<float> w, const DivergenceRow& row)
      : log_p(z - row.lse_student),
        log_q(w - row.lse_teacher),
        p(exponential(log_p)),
        q(exponential(log_q)) {}
  /// log M of Jensen-Shannon's mixture M = beta Q + (1 - beta) P, with the teacher Q.
  [[gnu::always_inline]] Vector<float> log_mixture(float beta) const {
    const Vector<float> difference = log_p - log_q;
    const Vector<float> high = difference > 0.0f ? log_p : log_q;
    const Vector<float> size = difference > 0.0f ? difference : -difference;
    const Vector<float> lesser = difference > 0.0f ? all(beta) : all(1.0f - beta);
    // Written so that equal sides give exactly log 1.
    const Vector<float> value = high + logarithm(1.0f - lesser * (1.0f - exponential(-size)));
    return high > kMinusInfinity ? value : high;
  }
};

/// Calls body(the kind as a constant).
template <class Body>
inline void with_kind(DivergenceKind kind, const Body& body) {
  using enum DivergenceKind;
  switch (kind) {
    case reverse_kl: return body(std::integral_constant<DivergenceKind, reverse_kl>{});
    case forward_kl: return body(std::integral_constant<DivergenceKind, forward_kl>{});
    case jsd: return body(std::integral_constant<DivergenceKind, jsd>{});
    case total_variation: break;
  }
  body(std::integral_constant<DivergenceKind, total_variation>{});
}

void divergence_block(const DivergenceRow& row, DivergenceKind kind, int64_t begin, int64_t count,
                      DivergenceBlock* out) {
  BlockBuffer student_buffer, teacher_buffer;
  const float* z = logits_of(row.student, begin, count, student_buffer);
  const float* w = logits_of(row.teacher, begin, count, teacher_buffer);
  const Ahead ahead_z(row.student, begin + count), ahead_w(row.teacher, begin + count);
  Vector<float> value{}, inner{};
  with_kind(kind, [&](auto chosen) {
    constexpr DivergenceKind kKind = chosen();
    for (int64_t i = 0; i < count; i += kFloatLanes) {
      ahead_z(i), ahead_w(i);
      const Columns at(load(z + i), load(w + i), row);
      if constexpr (kKind == DivergenceKind::reverse_kl) {
        value += term(at.p, at.q, at.log_q - at.log_p);
      } else if constexpr (kKind == DivergenceKind::forward_kl) {
        value += term(at.q, at.p, at.log_p - at.log_q);
      } else if constexpr (kKind == DivergenceKind::jsd) {
        const Vector<float> log_m = at.log_mixture(row.beta);
        const Vector<float> m = row.beta * at.q + (1.0f - row.beta) * at.p;
        const Vector<float> own = term(at.p, m, log_m - at.log_p);
        value += (1.0f - row.beta) * own + row.beta * term(at.q, m, log_m - at.log_q);
        inner += own;
      } else {
        const Vector<float> d = at.p - at.q;
        value += d < 0.0f ? -d : d;
        inner += d > 0.0f ? at.p : (d < 0.0f ? -at.p : Vector<float>{});
      }
    }
  });
  out->value = static_cast<double>(sum<float>(value));
  out->inner = static_cast<double>(sum<float>(inner));
}

void divergence_gradient(const DivergenceRow& row, DivergenceKind kind, bool of_student,
                         int64_t begin, int64_t count, float value, float inner, float d,
                         void* out) {
  BlockBuffer own_buffer, other_buffer;
  // Both KLs from the side that the gradient is taken to: `own` with p, the other with q.
  const DivergenceRow sides =
      of_student ? row
                 : DivergenceRow{row.teacher, row.student, row.lse_teacher, row.lse_student, 0};
  const float* z = logits_of(sides.student, begin, count, own_buffer);
  const float* w = logits_of(sides.teacher, begin, count, other_buffer);
  const Ahead ahead_z(sides.student, begin + count), ahead_w(sides.teacher, begin + count);
  const LogitMap map(sides.student);
  using enum DivergenceKind;
  if (!of_student) kind = kind == reverse_kl ? forward_kl : reverse_kl;
  with_kind(kind, [&](auto chosen) {
    constexpr DivergenceKind kKind = chosen();
    const auto body = [&](int64_t i) {
      ahead_z(i), ahead_w(i);
      const Vector<float> zi = load(z + i);
      const Columns at(zi, load(w + i), sides);
      Vector<float> g{};
      if constexpr (kKind == jsd) {
        const Vector<float> log_m = at.log_mixture(sides.beta);
        g = (1.0f - sides.beta) * at.p * (at.log_p - log_m - inner);
        g = at.p > 0.0f ? g : Vector<float>{};
      } else if constexpr (kKind == total_variation) {
        const Vector<float> sign =
            at.p > at.q ? all(1.0f) : (at.p < at.q ? all(-1.0f) : Vector<float>{});
        g = at.p * (sign - inner);
      } else if constexpr (kKind == forward_kl) {
        g = at.p - at.q;  // the other side is averaged over
      } else {
        const Vector<float> log_ratio = at.log_p - at.log_q;
        // Columns where only the other side is -inf are left out: no infinity enters the model.
        g = at.p > 0.0f && log_ratio < -kMinusInfinity ? at.p * (log_ratio - value)
                                                       : Vector<float>{};
      }
      return g * d * map.slope(zi);
    };
    write_any(sides.student.type, count, out, begin, body);
  });
}
