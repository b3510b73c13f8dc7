#include "composed.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "logit_rows.h"

namespace guerdon::ops {

using kernels::DivergenceKind;

TokenStats composed_stats(const Tensor& logits, const Tensor& tokens,
                          const LogitTransform& transform, const StatsRequest& request) {
  const Tensor x = logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
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

}  // namespace guerdon::ops
