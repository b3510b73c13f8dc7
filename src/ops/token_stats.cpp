#include "guerdon/ops/token_stats.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/ops/linear.h"
#include "kernels/cpu/kernels.h"

namespace guerdon::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor at_least_float(const Tensor& x) {
  return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

/// x -> z in place, on a temporary of ours.
void transform_(Tensor& x, const LogitTransform& t) {
  if (t.scale != 1.0) x.mul_(t.scale);
  if (t.softcap > 0) x.div_(t.softcap).tanh_().mul_(t.softcap);
  if (t.temperature != 1.0) x.div_(t.temperature);
}

void check(const LogitTransform& t, const Tensor& tokens, int64_t rows, int64_t vocabulary) {
  GUERDON_CHECK(
      std::isfinite(t.scale) && t.scale > 0 && std::isfinite(t.temperature) && t.temperature > 0,
      "token_stats: scale ", t.scale, " and temperature ", t.temperature,
      " must be finite and positive");
  GUERDON_CHECK(tokens.dim() == 1 && tokens.scalar_type() == at::kLong && tokens.size(0) == rows,
                "token_stats: tokens ", tokens.sizes(), " must be [", rows, "] int64");
  if (rows > 0) {
    const auto [low, high] = tokens.aminmax();
    GUERDON_CHECK(low.item<int64_t>() >= 0 && high.item<int64_t>() < vocabulary,
                  "token_stats: a token lies outside [0, ", vocabulary, ")");
  }
}

/// The kernels take float32 on the CPU; everything else goes through the composed form.
bool has_kernel(const Tensor& x) { return x.device().is_cpu() && x.scalar_type() == at::kFloat; }

TokenStats stats_by_kernel(const Tensor& x, const Tensor& tokens, const LogitTransform& t,
                           const StatsRequest& request) {
  const int64_t rows = x.size(0), vocabulary = x.size(1);
  const auto wanted = [&](bool asked, at::ScalarType type = at::kFloat) {
    return asked ? at::empty({rows}, x.options().dtype(type)) : Tensor();
  };
  const auto at_row = [](const Tensor& values, int64_t r) {
    return values.defined() ? values.data_ptr<float>() + r : nullptr;
  };
  TokenStats out{wanted(true),
                 wanted(request.entropy),
                 wanted(true),
                 wanted(request.argmax, at::kLong),
                 wanted(request.mean_logit),
                 wanted(request.sum_squares)};
  const auto* token = tokens.const_data_ptr<int64_t>();
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = x.const_data_ptr<float>() + r * vocabulary;
      float* lse = at_row(out.lse, r);
      kernels::kernels().row_stats(
          row, vocabulary, static_cast<float>(t.scale), static_cast<float>(t.softcap),
          static_cast<float>(t.temperature), lse, at_row(out.entropy, r),
          at_row(out.sum_squares, r),
          out.argmax.defined() ? out.argmax.data_ptr<int64_t>() + r : nullptr,
          at_row(out.mean_logit, r));
      float z = row[token[r]] * static_cast<float>(t.scale);
      if (t.softcap > 0) {
        z = static_cast<float>(t.softcap) * std::tanh(z / static_cast<float>(t.softcap));
      }
      const float logprob = z / static_cast<float>(t.temperature) - *lse;
      *at_row(out.logprob, r) = logprob > 0 ? 0.0f : logprob;  // rounding only; NaN stays
    }
  });
  return out;
}

/// All statistics of one chunk of raw logits x [n, V], which is overwritten.
TokenStats stats_of(Tensor& x, const Tensor& tokens, const LogitTransform& transform,
                    const StatsRequest& request) {
  if (has_kernel(x)) return stats_by_kernel(x, tokens, transform, request);
  TokenStats out;
  if (request.argmax) out.argmax = x.argmax(-1);
  if (request.mean_logit) out.mean_logit = x.mean(-1);
  transform_(x, transform);
  out.lse = x.logsumexp(-1);
  out.logprob = x.gather(1, tokens.unsqueeze(1)).squeeze(1) - out.lse;
  if (request.entropy || request.sum_squares) {
    const Tensor p = at::exp(x - out.lse.unsqueeze(1));
    // p = 0 contributes 0, also where z is -inf.
    if (request.entropy)
      out.entropy =
          (out.lse - at::where(p > 0, p * x, at::zeros({}, x.options())).sum(-1)).clamp_min(0);
    if (request.sum_squares) out.sum_squares = p.square().sum(-1).log();
  }
  return out;
}

/// d/dx of a chunk: x becomes its gradient. Formula: kernels.md F2 with the chain factor J of
/// section 1.
void gradient_(Tensor& x, const Tensor& tokens, const LogitTransform& t, const Tensor& lse,
               const Tensor& entropy, const Tensor& g_logprob, const Tensor& g_entropy) {
  if (has_kernel(x)) {
    const auto number = [](const Tensor& values) {
      return values.defined() ? values.to(at::kFloat).contiguous() : Tensor();
    };
    const Tensor gl = number(g_logprob), ge = number(g_entropy);
    const auto at_row = [](const Tensor& values, int64_t r) {
      return values.defined() ? values.const_data_ptr<float>()[r] : 0.0f;
    };
    const int64_t vocabulary = x.size(1);
    at::parallel_for(0, x.size(0), 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        kernels::kernels().row_gradient(x.data_ptr<float>() + r * vocabulary, vocabulary,
                                        tokens.const_data_ptr<int64_t>()[r],
                                        static_cast<float>(t.scale), static_cast<float>(t.softcap),
                                        static_cast<float>(t.temperature), at_row(lse, r),
                                        at_row(entropy, r), at_row(gl, r), at_row(ge, r));
      }
    });
    return;
  }
  transform_(x, t);
  Tensor factor;
  if (t.softcap > 0) factor = 1.0 - (x * (t.temperature / t.softcap)).square();
  const Tensor log_p = x.sub_(lse.unsqueeze(1));
  const Tensor p = log_p.exp();
  Tensor gradient = g_logprob.defined() ? p * -g_logprob.unsqueeze(1) : at::zeros_like(p);
  if (g_entropy.defined()) {
    gradient.sub_(at::where(p > 0, p * (log_p + entropy.unsqueeze(1)), at::zeros({}, p.options())) *
                  g_entropy.unsqueeze(1));
  }
  if (g_logprob.defined()) gradient.scatter_add_(1, tokens.unsqueeze(1), g_logprob.unsqueeze(1));
  if (factor.defined()) gradient.mul_(factor);
  if (const double scale = t.scale / t.temperature; scale != 1.0) gradient.mul_(scale);
  x = gradient;
}

TokenStats join(std::vector<TokenStats>& chunks) {
  if (chunks.size() == 1) return chunks[0];
  const auto all = [&](Tensor TokenStats::*member) {
    std::vector<Tensor> pieces;
    for (const TokenStats& chunk : chunks) {
      if ((chunk.*member).defined()) pieces.push_back(chunk.*member);
    }
    return pieces.empty() ? Tensor() : at::cat(pieces);
  };
  return {all(&TokenStats::logprob), all(&TokenStats::entropy),    all(&TokenStats::lse),
          all(&TokenStats::argmax),  all(&TokenStats::mean_logit), all(&TokenStats::sum_squares)};
}

/// hidden, weight, bias -> (logprob, entropy, lse, argmax, mean_logit, sum_squares), logits one
/// chunk at a time. Where all of them fit in the workspace they are kept for the backward pass,
/// which saves a product.
class LinearTokenStats : public torch::autograd::Function<LinearTokenStats> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& hidden, const Tensor& weight,
                               const std::optional<Tensor>& given_bias, const Tensor& tokens,
                               const LogitTransform& transform, const StatsRequest& request,
                               int64_t chunk, bool keep) {
    const Tensor bias = given_bias.value_or(Tensor());
    std::vector<TokenStats> chunks;
    const int64_t rows = hidden.size(0);
    Tensor kept;
    for (int64_t begin = 0; begin < std::max<int64_t>(rows, 1); begin += chunk) {
      const int64_t count = std::min(chunk, rows - begin);
      Tensor x = at_least_float(linear(hidden.narrow(0, begin, count), weight, bias)).contiguous();
      if (keep) kept = has_kernel(x) ? x : x.clone();
      chunks.push_back(stats_of(x, tokens.narrow(0, begin, count), transform, request));
    }
    const TokenStats out = join(chunks);
    context->save_for_backward({hidden, weight, bias, tokens, out.lse, out.entropy, kept});
    context->saved_data["transform"] =
        std::vector<double>{transform.scale, transform.softcap, transform.temperature};
    context->saved_data["chunk"] = chunk;
    context->saved_data["kept"] = keep;
    // A function cannot return undefined tensors: empty ones stand for what was not asked for.
    const auto or_empty = [&](const Tensor& x) {
      return x.defined() ? x : at::empty({0}, out.lse.options());
    };
    const variable_list constant{out.lse, or_empty(out.argmax), or_empty(out.mean_logit),
                                 or_empty(out.sum_squares)};
    context->mark_non_differentiable(constant);
    return {out.logprob, or_empty(out.entropy), constant[0], constant[1], constant[2], constant[3]};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &hidden = saved[0], &weight = saved[1], &bias = saved[2], &tokens = saved[3],
                 &lse = saved[4], &entropy = saved[5];
    const std::vector<double> t = context->saved_data["transform"].toDoubleVector();
    const LogitTransform transform{t[0], t[1], t[2]};
    const int64_t chunk = context->saved_data["chunk"].toInt(), rows = hidden.size(0);
    // The kept logits are overwritten by their gradient: a second backward pass computes them
    // again.
    const bool kept = context->saved_data["kept"].toBool();
    context->saved_data["kept"] = false;
    const bool wants_hidden = context->needs_input_grad(0),
               wants_weight = context->needs_input_grad(1);
    const bool wants_bias = bias.defined() && context->needs_input_grad(2);

    Tensor d_hidden, d_weight, d_bias;
    if (wants_hidden) d_hidden = at::empty_like(hidden);
    if (wants_weight) {
      d_weight =
          at::empty(weight.sizes(), weight.options().dtype(at_least_float(weight).scalar_type()));
    }
    if (wants_bias) {
      d_bias = at::zeros(bias.sizes(), bias.options().dtype(at_least_float(bias).scalar_type()));
    }
    if (wants_weight && rows == 0) d_weight.zero_();
    for (int64_t begin = 0; begin < rows; begin += chunk) {
      const int64_t count = std::min(chunk, rows - begin);
      const auto part = [&](const Tensor& x) {
        return x.defined() ? x.narrow(0, begin, count) : Tensor();
      };
      const Tensor h = part(hidden);
      Tensor x = kept ? saved[6] : at_least_float(linear(h, weight, bias)).contiguous();
      gradient_(x, part(tokens), transform, part(lse), part(entropy), part(gradients[0]),
                entropy.defined() ? part(gradients[1]) : Tensor());
      const Tensor g = x.to(hidden.scalar_type());
      if (wants_hidden) {
        Tensor target = d_hidden.narrow(0, begin, count);
        at::mm_out(target, g, weight);
      }
      if (wants_weight) {
        const double old = begin == 0 ? 0.0 : 1.0;  // the first chunk overwrites
        if (d_weight.scalar_type() == g.scalar_type()) {
          at::addmm_out(d_weight, d_weight, g.t(), h, old, 1.0);
        } else {
          const Tensor product = at::mm(g.t(), h).to(d_weight.scalar_type());
          begin == 0 ? d_weight.copy_(product) : d_weight.add_(product);
        }
      }
      if (wants_bias) d_bias.add_(x.sum(0));
    }
    if (wants_weight) d_weight = d_weight.to(weight.scalar_type());
    if (wants_bias) d_bias = d_bias.to(bias.scalar_type());
    return {d_hidden, d_weight, d_bias, {}, {}, {}, {}, {}};
  }
};

}  // namespace

TokenStats token_stats(const Tensor& logits, const Tensor& tokens, const LogitTransform& transform,
                       const StatsRequest& request) {
  GUERDON_CHECK(logits.dim() == 2 && logits.size(1) > 0, "token_stats: logits must be [N, V], got ",
                logits.sizes());
  check(transform, tokens, logits.size(0), logits.size(1));
  Tensor x = at_least_float(logits);
  TokenStats out;
  {
    const at::NoGradGuard no_gradient;
    if (request.argmax) out.argmax = x.argmax(-1);
    if (request.mean_logit) out.mean_logit = x.mean(-1);
  }
  x = transform.scale == 1.0 ? x : x * transform.scale;
  if (transform.softcap > 0) x = at::tanh(x / transform.softcap) * transform.softcap;
  if (transform.temperature != 1.0) x = x / transform.temperature;
  const Tensor log_p = at::log_softmax(x, -1);
  out.logprob = log_p.gather(1, tokens.unsqueeze(1)).squeeze(1);
  if (request.entropy) {
    const Tensor p = log_p.exp();
    out.entropy = -at::where(p > 0, p * log_p, at::zeros({}, p.options())).sum(-1);
  }
  const at::NoGradGuard no_gradient;
  out.lse = x.logsumexp(-1);
  if (request.sum_squares) out.sum_squares = (2 * log_p).logsumexp(-1);
  return out;
}

TokenStats linear_token_stats(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                              const Tensor& tokens, const LogitTransform& transform,
                              const StatsRequest& request, int64_t workspace_bytes) {
  GUERDON_CHECK(hidden.dim() == 2 && weight.dim() == 2 && hidden.size(1) == weight.size(1),
                "linear_token_stats: hidden ", hidden.sizes(), " and weight ", weight.sizes(),
                " do not fit");
  check(transform, tokens, hidden.size(0), weight.size(0));
  const bool trains =
      c10::GradMode::is_enabled() && (hidden.requires_grad() || weight.requires_grad() ||
                                      (bias.defined() && bias.requires_grad()));
  const int64_t row_bytes = weight.size(0) * (hidden.scalar_type() == at::kDouble ? 8 : 4);
  const bool keep = trains && hidden.size(0) * row_bytes <= workspace_bytes;
  const int64_t chunk = keep ? std::max<int64_t>(hidden.size(0), 1)
                             : std::max<int64_t>(16, workspace_bytes / row_bytes / 16 * 16);
  const variable_list out = LinearTokenStats::apply(
      hidden, weight, bias.defined() ? std::optional<Tensor>(bias) : std::nullopt, tokens,
      transform, request, chunk, keep);
  const auto asked = [&](bool wanted, size_t i) { return wanted ? out[i] : Tensor(); };
  return {out[0],
          asked(request.entropy, 1),
          out[2],
          asked(request.argmax, 3),
          asked(request.mean_logit, 4),
          asked(request.sum_squares, 5)};
}

}  // namespace guerdon::ops
