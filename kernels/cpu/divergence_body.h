/// Divergences between two rows of logits, block by block. Included once for each instruction set,
/// inside its own namespace.

/// kernels.md 3.3: everything about two rows that one read can tell.
void pair_block(const LogitRow& first, const LogitRow& second, int64_t begin, int64_t count,
                PairBlock* out) {
  BlockBuffer first_buffer, second_buffer;
  const float* z = logits_of(first, begin, count, first_buffer);
  const float* w = logits_of(second, begin, count, second_buffer);
  out->top_z = top_of(z, count), out->top_w = top_of(w, count);
  const float shift_z = out->top_z == kMinusInfinity ? 0.0f : out->top_z;
  const float shift_w = out->top_w == kMinusInfinity ? 0.0f : out->top_w;
  Vector<float> s{}, u{}, a{}, b{};
  for (int64_t i = 0; i < count; i += kFloatLanes) {
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
inline Vector<float> term(Vector<float> p, Vector<float> q, Vector<float> d) {
  const Vector<float> size = d < 0.0f ? -d : d;
  const Vector<float> value = size < 0.5f ? p * excess_near_zero(d) : q - p * (1.0f + d);
  return p > 0.0f ? value : q;
}

/// log P, log Q of a column and what follows from them.
struct Columns {
  Vector<float> log_p, log_q, p, q;
  Columns(Vector<float> z, Vector<float> w, const DivergenceRow& row)
      : log_p(z - row.lse_student),
        log_q(w - row.lse_teacher),
        p(exponential(log_p)),
        q(exponential(log_q)) {}
  /// log M of Jensen-Shannon's mixture M = beta Q + (1 - beta) P, with the teacher Q.
  Vector<float> log_mixture(float beta) const {
    const Vector<float> difference = log_p - log_q;
    const Vector<float> high = difference > 0.0f ? log_p : log_q;
    const Vector<float> size = difference > 0.0f ? difference : -difference;
    const Vector<float> lesser = difference > 0.0f ? all(beta) : all(1.0f - beta);
    // Written so that equal sides give exactly log 1.
    const Vector<float> value = high + logarithm(1.0f - lesser * (1.0f - exponential(-size)));
    return high > kMinusInfinity ? value : high;
  }
};

void divergence_block(const DivergenceRow& row, DivergenceKind kind, int64_t begin, int64_t count,
                      DivergenceBlock* out) {
  BlockBuffer student_buffer, teacher_buffer;
  const float* z = logits_of(row.student, begin, count, student_buffer);
  const float* w = logits_of(row.teacher, begin, count, teacher_buffer);
  Vector<float> value{}, inner{};
  for (int64_t i = 0; i < count; i += kFloatLanes) {
    const Columns at(load(z + i), load(w + i), row);
    switch (kind) {
      case DivergenceKind::reverse_kl: value += term(at.p, at.q, at.log_q - at.log_p); break;
      case DivergenceKind::forward_kl: value += term(at.q, at.p, at.log_p - at.log_q); break;
      case DivergenceKind::jsd: {
        const Vector<float> log_m = at.log_mixture(row.beta), m = exponential(log_m);
        const Vector<float> own = term(at.p, m, log_m - at.log_p);
        value += (1.0f - row.beta) * own + row.beta * term(at.q, m, log_m - at.log_q);
        inner += own;
        break;
      }
      case DivergenceKind::total_variation: {
        const Vector<float> d = at.p - at.q;
        value += d < 0.0f ? -d : d;
        inner += d > 0.0f ? at.p : (d < 0.0f ? -at.p : Vector<float>{});
        break;
      }
    }
  }
  out->value = static_cast<double>(sum<float>(value));
  out->inner = static_cast<double>(sum<float>(inner));
}

void divergence_gradient(const DivergenceRow& row, DivergenceKind kind, bool of_student,
                         int64_t begin, int64_t count, float value, float inner, float d,
                         void* out) {
  BlockBuffer student_buffer, teacher_buffer;
  const float* z = logits_of(row.student, begin, count, student_buffer);
  const float* w = logits_of(row.teacher, begin, count, teacher_buffer);
  const LogitRow& target = of_student ? row.student : row.teacher;
  const LogitMap map(target);
  const bool reverse = kind == DivergenceKind::reverse_kl;
  const auto body = [&](int64_t i) {
    const Vector<float> zi = load(z + i), wi = load(w + i);
    const Columns at(zi, wi, row);
    Vector<float> g{};
    if (kind == DivergenceKind::jsd) {
      const Vector<float> log_m = at.log_mixture(row.beta);
      g = (1.0f - row.beta) * at.p * (at.log_p - log_m - inner);
      g = at.p > 0.0f ? g : Vector<float>{};
    } else if (kind == DivergenceKind::total_variation) {
      const Vector<float> sign =
          at.p > at.q ? all(1.0f) : (at.p < at.q ? all(-1.0f) : Vector<float>{});
      g = at.p * (sign - inner);
    } else if (reverse != of_student) {
      // The side that is averaged over is the other one: KL(P || Q) has the gradient Q - P in w.
      g = of_student ? at.p - at.q : at.q - at.p;
    } else {
      const Vector<float> own = of_student ? at.p : at.q;
      const Vector<float> log_ratio = of_student ? at.log_p - at.log_q : at.log_q - at.log_p;
      // Columns where only the other side is -inf are left out: no infinity enters the model.
      g = own > 0.0f && log_ratio < -kMinusInfinity ? own * (log_ratio - value) : Vector<float>{};
    }
    return g * d * map.slope(of_student ? zi : wi);
  };
  write_any(target.type, count, out, begin, body);
}
