#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/ops/cross_entropy.h"
#include "guerdon/ops/token_stats.h"
#include "head.h"
#include "inputs.h"
#include "logit_rows.h"
#include "row_stats.h"

namespace guerdon::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Without a graph, of any floating type: float64 by the composed form.
RowStats stats_of(const Tensor& x, const Tensor& tokens, const LogitTransform& transform,
                  const StatsRequest& request) {
  if (has_kernel(x)) return row_stats(x, tokens, {}, transform, request);
  const at::NoGradGuard no_gradient;
  Tensor finite;
  if (request.mean_logit) finite = (~x.isneginf()).sum(-1).to(x.scalar_type());
  return {token_stats(x, tokens, transform, request), finite};
}

/// The gradient of the logits, over them: by kernel, or in float64 by the composed form's own
/// graph.
Tensor gradient_of(Tensor x, const Tensor& tokens, const LogitTransform& transform,
                   const SavedStats& saved, const StatsGradients& g) {
  if (has_kernel(x)) {
    row_gradients(x, tokens, {}, transform, saved, g, x);
    return x;
  }
  const at::AutoGradMode with_gradient(true);
  Tensor leaf = x.detach().requires_grad_();
  const StatsRequest request{.entropy = g.entropy.defined(), .mean_logit = g.mean_logit.defined()};
  const TokenStats s = token_stats(leaf, tokens, transform, request);
  std::vector<Tensor> outputs, upstreams;
  const auto take = [&](const Tensor& value, const Tensor& gradient) {
    if (!gradient.defined()) return;
    outputs.push_back(value);
    upstreams.push_back(gradient.to(value.scalar_type()));
  };
  take(s.logprob, g.logprob), take(s.entropy, g.entropy), take(s.lse, g.lse);
  take(s.mean_logit, g.mean_logit);
  if (outputs.empty()) return at::zeros_like(x);
  return torch::autograd::grad(outputs, {leaf}, upstreams)[0];
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
          all(&TokenStats::argmax),  all(&TokenStats::mean_logit), all(&TokenStats::sum_squares),
          all(&TokenStats::raw_lse)};
}

Tensor part_of(const Tensor& x, int64_t begin, int64_t count) {
  return x.defined() ? x.narrow(0, begin, count) : x;
}

/// hidden, weight, bias -> the statistics, logits one chunk at a time. Where all of them fit in the
/// workspace they are kept for the backward pass, which saves a product.
class LinearTokenStats : public torch::autograd::Function<LinearTokenStats> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& hidden, const Tensor& weight,
                               const std::optional<Tensor>& given_bias,
                               const std::optional<Tensor>& given_tokens,
                               const LogitTransform& transform, const StatsRequest& request,
                               const HeadOptions& options, bool keep) {
    const Tensor bias = given_bias.value_or(Tensor()), tokens = given_tokens.value_or(Tensor());
    const int64_t rows = hidden.size(0), row_bytes = logit_row_bytes(hidden, weight);
    const int64_t chunk = keep ? std::max<int64_t>(rows, 1) : chunk_rows(row_bytes, options);
    std::vector<TokenStats> chunks;
    Tensor kept, finite;
    std::vector<Tensor> finites;
    for (int64_t begin = 0; begin < std::max<int64_t>(rows, 1); begin += chunk) {
      const int64_t count = std::min(chunk, rows - begin);
      const Tensor x = chunk_logits(hidden.narrow(0, begin, count), weight, bias, options);
      if (keep) kept = x;
      RowStats stats =
          stats_of(x, part_of(tokens, begin, count), narrowed(transform, begin, count), request);
      chunks.push_back(stats.of);
      if (stats.finite.defined()) finites.push_back(stats.finite);
    }
    const TokenStats out = join(chunks);
    if (!finites.empty()) finite = at::cat(finites);
    context->save_for_backward(
        {hidden, weight, bias, tokens, out.lse, out.entropy, finite, kept, transform.temperatures});
    context->saved_data["transform"] =
        std::vector<double>{transform.scale, transform.softcap, transform.temperature};
    context->saved_data["chunk"] = chunk;
    context->saved_data["float_logits"] = options.float_logits;
    context->saved_data["kept"] = keep;
    return to_list(out, context);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &hidden = saved[0], &weight = saved[1], &bias = saved[2], &tokens = saved[3];
    const std::vector<double> t = context->saved_data["transform"].toDoubleVector();
    const LogitTransform transform{t[0], t[1], t[2], saved[8]};
    const int64_t chunk = context->saved_data["chunk"].toInt(), rows = hidden.size(0);
    const HeadOptions options{.float_logits = context->saved_data["float_logits"].toBool()};
    // The kept logits are overwritten by their gradient: a second backward pass computes them
    // again.
    const bool kept = context->saved_data["kept"].toBool() && has_kernel(saved[7]);
    context->saved_data["kept"] = false;
    const StatsGradients g = upstream(gradients);
    HeadGradients sums(hidden, weight, bias, context->needs_input_grad(0),
                       context->needs_input_grad(1),
                       bias.defined() && context->needs_input_grad(2));
    for (int64_t begin = 0; begin < rows; begin += chunk) {
      const int64_t count = std::min(chunk, rows - begin);
      const auto part = [&](const Tensor& x) { return part_of(x, begin, count); };
      const Tensor x = kept ? saved[7] : chunk_logits(part(hidden), weight, bias, options);
      sums.add(begin,
               gradient_of(x, part(tokens), narrowed(transform, begin, count),
                           {part(saved[4]), part(saved[5]), part(saved[6])},
                           {part(g.logprob), part(g.entropy), part(g.lse), part(g.mean_logit)}));
    }
    return {sums.hidden(), sums.weight(), sums.bias(), {}, {}, {}, {}, {}};
  }
};

bool trains(const Tensor& hidden, const Tensor& weight, const Tensor& bias) {
  return c10::GradMode::is_enabled() && (hidden.requires_grad() || weight.requires_grad() ||
                                         (bias.defined() && bias.requires_grad()));
}

/// linear_token_stats of checked arguments and rows that all count.
TokenStats head_stats(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                      const Tensor& tokens, const LogitTransform& transform,
                      const StatsRequest& request, const HeadOptions& options) {
  const bool keep = trains(hidden, weight, bias) &&
                    hidden.size(0) * logit_row_bytes(hidden, weight) <= options.workspace_bytes;
  return from_list(
      LinearTokenStats::apply(hidden, weight, optional(bias),
                              optional(tokens.defined() ? tokens.contiguous() : tokens), transform,
                              request, options, keep),
      tokens.defined(), request);
}

/// The rows' losses [n] of F3 from their statistics.
Tensor row_losses(const TokenStats& s, const CrossEntropyOptions& o) {
  Tensor loss = -s.logprob;
  if (o.label_smoothing > 0)
    loss = (1 - o.label_smoothing) * loss + o.label_smoothing * (s.lse - s.mean_logit);
  if (o.dft) loss = loss * s.logprob.detach().exp();
  return loss;
}

/// What the sum is divided by; `live` undefined: every row.
double denominator_of(const CrossEntropyOptions& o, const Tensor& live, int64_t rows) {
  if (o.denominator) return *o.denominator;
  if (o.reduction == LossReduction::none || o.reduction == LossReduction::sum) return 1.0;
  double count = 0;
  if (o.reduction == LossReduction::mean_weighted && o.weights.defined()) {
    const Tensor weights = o.weights.to(at::kDouble);
    count = (live.defined() ? weights * live.to(at::kDouble) : weights).sum().item<double>();
  } else {
    count = live.defined() ? live.sum().item<double>() : static_cast<double>(rows);
  }
  return count > 0 ? count : 1.0;
}

void check_cross_entropy(const char* who, const CrossEntropyOptions& o, int64_t rows) {
  GUERDON_CHECK(o.label_smoothing >= 0 && o.label_smoothing < 1, who, ": label_smoothing ",
                o.label_smoothing, " lies outside [0, 1)");
  GUERDON_CHECK(!o.weights.defined() || (o.weights.dim() == 1 && o.weights.size(0) == rows), who,
                ": weights for ", rows, " rows are needed");
  GUERDON_CHECK(!o.denominator || *o.denominator > 0, who, ": the denominator must be positive");
}

/// hidden, weight, bias -> sum over rows of weight_i loss_i; its gradients computed on the way.
class LinearCrossEntropy : public torch::autograd::Function<LinearCrossEntropy> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& weight,
                        const std::optional<Tensor>& given_bias, const Tensor& tokens,
                        const Tensor& row_weight, const CrossEntropyOptions& o,
                        const LogitTransform& transform, const HeadOptions& options,
                        std::array<bool, 3> wanted) {
    const Tensor bias = given_bias.value_or(Tensor());
    const int64_t rows = hidden.size(0), row_bytes = logit_row_bytes(hidden, weight);
    const int64_t chunk = chunk_rows(row_bytes, options);
    const StatsRequest request{.mean_logit = o.label_smoothing > 0};
    HeadGradients sums(hidden, weight, bias, wanted[0], wanted[1], wanted[2]);
    Tensor total = at::zeros({}, hidden.options().dtype(at::kDouble));
    for (int64_t begin = 0; begin < rows; begin += chunk) {
      const int64_t count = std::min(chunk, rows - begin);
      const Tensor token = tokens.narrow(0, begin, count), w = row_weight.narrow(0, begin, count);
      const LogitTransform t = narrowed(transform, begin, count);
      const Tensor x = chunk_logits(hidden.narrow(0, begin, count), weight, bias, options);
      const RowStats stats = stats_of(x, token, t, request);
      total += (row_losses(stats.of, o) * w).sum(at::kDouble);
      if (!wanted[0] && !wanted[1] && !wanted[2]) continue;
      const Tensor scale = o.dft ? w * stats.of.logprob.exp() : w;
      const double eps = o.label_smoothing;
      StatsGradients g{.logprob = (scale * (eps - 1)).contiguous()};
      if (eps > 0) g.lse = (scale * eps).contiguous(), g.mean_logit = (scale * -eps).contiguous();
      sums.add(begin, gradient_of(x, token, t, {stats.of.lse, {}, stats.finite}, g));
    }
    context->save_for_backward({sums.hidden(), sums.weight(), sums.bias()});
    return total.to(at_least_float(hidden));
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto upstream = gradients[0].item<double>();
    variable_list out = context->get_saved_variables();
    for (Tensor& g : out) {
      if (g.defined() && upstream != 1.0) g = g * upstream;
    }
    out.resize(9);
    return out;
  }
};

}  // namespace

Tensor head_logits(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                   const HeadOptions& options) {
  check_head("head_logits", hidden, weight, bias);
  const at::NoGradGuard no_gradient;
  return chunk_logits(hidden, weight, bias, options);
}

TokenStats linear_token_stats(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                              const Tensor& tokens, const LogitTransform& transform,
                              const StatsRequest& request, const LiveRows& live,
                              const HeadOptions& options) {
  check_head("linear_token_stats", hidden, weight, bias);
  check_logits("linear_token_stats", hidden, transform);
  const Tensor alive =
      live_rows("linear_token_stats", tokens, live, hidden.size(0), weight.size(0));
  if (!alive.defined())
    return head_stats(hidden, weight, bias, tokens, transform, request, options);
  return scattered(alive, [&](const Tensor& some) {
    return head_stats(hidden.index_select(0, some), weight, bias,
                      tokens.defined() ? tokens.index_select(0, some) : tokens,
                      selected(transform, some), request, options);
  });
}

Tensor cross_entropy(const Tensor& logits, const Tensor& tokens, const CrossEntropyOptions& o,
                     const LogitTransform& transform, const LiveRows& live) {
  check_logits("cross_entropy", logits, transform);
  check_cross_entropy("cross_entropy", o, logits.size(0));
  const Tensor alive = live_rows("cross_entropy", tokens, live, logits.size(0), logits.size(1));
  const TokenStats s =
      live_stats(logits, tokens, alive, transform, {.mean_logit = o.label_smoothing > 0});
  Tensor loss = row_losses(s, o);
  // exp(0) of a dead row's log-prob: its loss is 0 all the same.
  if (o.weights.defined()) loss = loss * o.weights.to(loss.scalar_type());
  if (o.reduction == LossReduction::none) return o.denominator ? loss / *o.denominator : loss;
  return loss.sum() / denominator_of(o, alive, logits.size(0));
}

Tensor linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                            const Tensor& tokens, const CrossEntropyOptions& o,
                            const LogitTransform& transform, const LiveRows& live,
                            const HeadOptions& options) {
  check_head("linear_cross_entropy", hidden, weight, bias);
  check_logits("linear_cross_entropy", hidden, transform);
  check_cross_entropy("linear_cross_entropy", o, hidden.size(0));
  GUERDON_CHECK(o.reduction != LossReduction::none,
                "linear_cross_entropy: a reduction is needed; linear_token_stats gives rows");
  const Tensor alive =
      live_rows("linear_cross_entropy", tokens, live, hidden.size(0), weight.size(0));
  const Tensor rows = alive.defined() ? alive.nonzero().squeeze(1) : Tensor();
  const auto chosen = [&](const Tensor& x) { return rows.defined() ? x.index_select(0, rows) : x; };
  const Tensor h = chosen(hidden);
  const at::ScalarType type = at_least_float(hidden);
  const Tensor row_weight = o.weights.defined()
                                ? chosen(o.weights).to(type).contiguous()
                                : at::ones({h.size(0)}, hidden.options().dtype(type));
  const bool training = c10::GradMode::is_enabled();
  const Tensor total = LinearCrossEntropy::apply(
      h, weight, optional(bias), chosen(tokens).contiguous(), row_weight, o,
      rows.defined() ? selected(transform, rows) : transform, options,
      std::array<bool, 3>{training && h.requires_grad(), training && weight.requires_grad(),
                          training && bias.defined() && bias.requires_grad()});
  return total / denominator_of(o, alive, hidden.size(0));
}

}  // namespace guerdon::ops
