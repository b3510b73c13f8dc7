#include "composed.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <iterator>
#include <limits>

#include "inputs.h"
#include "logit_rows.h"

namespace guerdon::ops {

using kernels::DivergenceKind;

TokenStats composed_stats(const Tensor& logits, const Tensor& tokens,
                          const LogitTransform& transform, const StatsRequest& request) {
  const Tensor x = logits.to(at_least_float(logits));
  const Tensor z = transformed(x, transform), log_p = at::log_softmax(z, -1);
  TokenStats out;
  out.lse = z.logsumexp(-1);
  if (tokens.defined()) out.logprob = log_p.gather(1, tokens.unsqueeze(1)).squeeze(1);
  if (request.entropy) {
    // p = 0 contributes 0, also where log p is -inf.
    const Tensor finite = at::where(log_p.isneginf(), at::zeros({}, log_p.options()), log_p);
    out.entropy = -(log_p.exp() * finite).sum(-1);
  }
  if (request.mean_logit) {
    const Tensor masked = z.isneginf();
    out.mean_logit =
        at::where(masked, at::zeros({}, z.options()), z).sum(-1) / (~masked).sum(-1).clamp_min(1);
  }
  const c10::NoGradGuard no_gradient;
  if (request.argmax) out.argmax = x.argmax(-1);
  if (request.sum_squares) out.sum_squares = (2 * log_p).logsumexp(-1);
  if (request.raw_lse) out.raw_lse = x.logsumexp(-1);
  return out;
}

Tensor composed_divergence(const Tensor& z, const Tensor& w, DivergenceKind kind, double beta) {
  const Tensor log_p = at::log_softmax(z, -1), log_q = at::log_softmax(w, -1);
  const Tensor zero = at::zeros({}, z.options());
  // sum a (log a - log b), 0 where a is 0.
  const auto kl = [&](const Tensor& log_a, const Tensor& log_b) {
    const Tensor none = log_a.isneginf();
    const Tensor ratio = at::where(none, zero, log_a) - at::where(none, zero, log_b);
    return (log_a.exp() * ratio).sum(-1);
  };
  switch (kind) {
    case DivergenceKind::reverse_kl: return kl(log_p, log_q);
    case DivergenceKind::forward_kl: return kl(log_q, log_p);
    case DivergenceKind::total_variation: return (log_p.exp() - log_q.exp()).abs().sum(-1);
    case DivergenceKind::jsd: break;
  }
  const Tensor log_m = at::logaddexp(log_q + std::log(beta), log_p + std::log1p(-beta));
  return beta * kl(log_q, log_m) + (1 - beta) * kl(log_p, log_m);
}

std::pair<Tensor, Tensor> composed_restricted(const Tensor& z, const Tensor& tokens,
                                              const Tensor& offsets, const Tensor& ids,
                                              const Tensor& dropped) {
  const Tensor first = offsets.slice(0, 0, -1),
               row = at::arange(first.size(0)).repeat_interleave(offsets.slice(0, 1) - first);
  const int64_t begin = offsets[0].item<int64_t>();
  const Tensor kept = at::zeros(z.sizes(), at::kBool)
                          .index_put({row, ids.narrow(0, begin, row.size(0)).to(at::kLong)},
                                     at::ones({}, at::kBool));
  const double none = -std::numeric_limits<double>::infinity();
  const Tensor lse = z.masked_fill(~kept, none).logsumexp(-1);
  const Tensor own = z.gather(1, tokens.unsqueeze(1)).squeeze(1) - lse;
  return {at::where(dropped, at::full({}, none, z.options()), own), lse};
}

Tensor composed_kl_estimate(const Tensor& logprobs, const Tensor& reference, KlEstimate kind,
                            const KlEstimateOptions& o) {
  const Tensor x = (logprobs - reference).clamp(-o.max_log_ratio, o.max_log_ratio);
  // exp(-x) - 1 + x; its series where the difference would cancel.
  const auto k3 = [&] {
    constexpr double kSeries[] = {1.0 / 2,   1.0 / 6,    1.0 / 24,   1.0 / 120,
                                  1.0 / 720, 1.0 / 5040, 1.0 / 40320};
    const Tensor r = -x;
    Tensor series = at::zeros_like(r);
    for (auto c = std::rbegin(kSeries); c != std::rend(kSeries); ++c) series = series * r + *c;
    return at::where(r.abs() < 0.5, series * r * r, at::expm1(r) - r);
  };
  const auto value = [&] {
    switch (kind) {
      case KlEstimate::k1: return x;
      case KlEstimate::k2: return x * x / 2;
      case KlEstimate::k3: return k3();
      case KlEstimate::abs: return x.abs();
      case KlEstimate::k3_straight_through: break;
    }
    const Tensor k2 = x * x / 2;
    return k2 + (k3() - k2).detach();
  };
  return std::isinf(o.max_value) ? value() : value().clamp(-o.max_value, o.max_value);
}

SegmentLogprob composed_segment_logprob(const Tensor& values, const Tensor& row, int64_t rows,
                                        const Tensor& weight) {
  const Tensor w = weight.to(values.scalar_type());
  const Tensor zero = at::zeros({}, values.options());
  const auto sum_of = [&](const Tensor& x) {
    return at::zeros({rows}, values.options()).index_add(0, row, x);
  };
  // Selected, not multiplied: a NaN at a token of weight 0 reaches neither value nor gradient.
  const Tensor sum = sum_of(at::where(w != 0, values, zero) * w), total = sum_of(w);
  return {.sum = sum,
          .mean = sum / at::where(total == 0, at::ones_like(total), total),
          .weight = total};
}

}  // namespace guerdon::ops
