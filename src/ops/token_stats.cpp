#include "guerdon/ops/token_stats.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

#include "composed.h"
#include "guerdon/base/error.h"
#include "inputs.h"
#include "logit_rows.h"
#include "row_stats.h"

namespace guerdon::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// logits -> (logprob, entropy, lse, mean_logit, argmax, sum_squares, raw_lse).
class TokenStatsFunction : public torch::autograd::Function<TokenStatsFunction> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& logits,
                               const std::optional<Tensor>& tokens,
                               const std::optional<Tensor>& live, const LogitTransform& transform,
                               const StatsRequest& request, bool temporary) {
    const RowStats stats =
        row_stats(logits, tokens.value_or(Tensor()), live.value_or(Tensor()), transform, request);
    context->save_for_backward({logits, tokens.value_or(Tensor()), live.value_or(Tensor()),
                                stats.of.lse, stats.of.entropy, stats.finite,
                                transform.temperatures});
    context->saved_data["transform"] =
        std::vector<double>{transform.scale, transform.softcap, transform.temperature};
    context->saved_data["temporary"] = temporary;
    context->saved_data["spent"] = false;
    return to_list(stats.of, context);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("token_stats");
    const variable_list saved = context->get_saved_variables();
    const Tensor& logits = saved[0];
    const std::vector<double> t = context->saved_data["transform"].toDoubleVector();
    const bool temporary = context->saved_data["temporary"].toBool();
    GUERDON_CHECK(!context->saved_data["spent"].toBool(),
                  "token_stats: a second backward pass, but the first one wrote the gradient over "
                  "the temporary logits");
    context->saved_data["spent"] = temporary;
    Tensor out = temporary ? logits : at::empty(logits.sizes(), logits.options());
    row_gradients(logits, saved[1], saved[2], {t[0], t[1], t[2], saved[6]},
                  {saved[3], saved[4], saved[5]}, upstream(gradients), out);
    return {out, {}, {}, {}, {}, {}};
  }
};

}  // namespace

kernels::MergedRow merged(std::span<const kernels::LogitBlock> blocks) {
  kernels::MergedRow out;
  for (size_t i = 0; i < blocks.size(); ++i) out.add(blocks[i], static_cast<int64_t>(i));
  return out;
}

variable_list to_list(const TokenStats& s, AutogradContext* context) {
  // A function cannot return undefined tensors: empty ones stand for what was not asked for.
  const auto or_empty = [&](const Tensor& x) {
    return x.defined() ? x : at::empty({0}, s.lse.options());
  };
  variable_list all{or_empty(s.logprob),    or_empty(s.entropy), s.lse,
                    or_empty(s.mean_logit), or_empty(s.argmax),  or_empty(s.sum_squares),
                    or_empty(s.raw_lse)};
  context->mark_non_differentiable({all[4], all[5], all[6]});
  return all;
}

TokenStats from_list(const variable_list& all, bool tokens, const StatsRequest& request) {
  const auto asked = [&](bool wanted, size_t i) { return wanted ? all[i] : Tensor(); };
  return {.logprob = asked(tokens, 0),
          .entropy = asked(request.entropy, 1),
          .lse = all[2],
          .argmax = asked(request.argmax, 4),
          .mean_logit = asked(request.mean_logit, 3),
          .sum_squares = asked(request.sum_squares, 5),
          .raw_lse = asked(request.raw_lse, 6)};
}

StatsGradients upstream(const variable_list& gradients) {
  const auto given = [&](size_t i) {
    const Tensor& g = gradients[i];
    return g.defined() && g.numel() > 0 ? g.to(at::kFloat).contiguous() : Tensor();
  };
  return {.logprob = given(0), .entropy = given(1), .lse = given(2), .mean_logit = given(3)};
}

RowStats row_stats(const Tensor& x, const Tensor& tokens, const Tensor& live,
                   const LogitTransform& transform, const StatsRequest& request) {
  if (const DeviceKernels* device = device_kernels(x))
    return device->row_stats(x, tokens, live, transform, request);
  const LogitMatrix matrix(x, transform);
  const int64_t rows = matrix.rows(), columns = matrix.columns();
  const auto wanted = [&](bool asked, at::ScalarType type = at::kFloat) {
    if (!asked) return Tensor();
    const auto options = x.options().dtype(type);
    return live.defined() ? at::zeros({rows}, options) : at::empty({rows}, options);
  };
  RowStats out{{.logprob = wanted(tokens.defined()),
                .entropy = wanted(request.entropy),
                .lse = wanted(true),
                .argmax = wanted(request.argmax, at::kLong),
                .mean_logit = wanted(request.mean_logit),
                .sum_squares = wanted(request.sum_squares),
                .raw_lse = wanted(request.raw_lse)},
               wanted(request.mean_logit)};
  const kernels::LogitWish wish{.entropy = request.entropy,
                                .squares = request.sum_squares,
                                .argmax = request.argmax,
                                .mean = request.mean_logit,
                                .raw = request.raw_lse};
  const auto set = [](const Tensor& to, int64_t row, double value) {
    if (to.defined()) to.data_ptr<float>()[row] = static_cast<float>(value);
  };
  const auto* token = tokens.defined() ? tokens.const_data_ptr<int64_t>() : nullptr;
  reduce_rows<kernels::LogitBlock>(
      rows, columns, live.defined() ? live.const_data_ptr<bool>() : nullptr,
      [&](int64_t row, int64_t begin, int64_t count, kernels::LogitBlock* block) {
        kernels::kernels().logit_block(matrix[row], begin, count, wish, block);
      },
      [&](int64_t row, const std::vector<kernels::LogitBlock>& blocks) {
        const kernels::MergedRow m = merged(blocks);
        set(out.of.lse, row, m.lse());
        set(out.of.entropy, row, m.entropy());
        set(out.of.sum_squares, row, m.log_squares());
        set(out.of.mean_logit, row, m.mean());
        set(out.finite, row, static_cast<double>(m.finite));
        set(out.of.raw_lse, row, m.raw_lse());
        if (out.of.argmax.defined()) out.of.argmax.data_ptr<int64_t>()[row] = m.argmax;
        if (token == nullptr) return;
        float z = 0;
        kernels::kernels().logit_values(matrix[row], token[row], 1, &z);
        set(out.of.logprob, row, m.logprob(z));
      });
  return out;
}

void row_gradients(const Tensor& x, const Tensor& tokens, const Tensor& live,
                   const LogitTransform& transform, const SavedStats& saved,
                   const StatsGradients& g, Tensor& out) {
  if (const DeviceKernels* device = device_kernels(x))
    return device->row_gradients(x, tokens, live, transform, saved, g, out);
  const LogitMatrix matrix(x, transform);
  const auto number = [](const Tensor& values, int64_t row) {
    return values.defined() ? values.const_data_ptr<float>()[row] : 0.0f;
  };
  const auto* token = tokens.defined() ? tokens.const_data_ptr<int64_t>() : nullptr;
  const auto* alive = live.defined() ? live.const_data_ptr<bool>() : nullptr;
  const auto element = static_cast<int64_t>(out.element_size());
  for_each_slice(matrix.rows(), matrix.columns(), [&](int64_t row, int64_t begin, int64_t count) {
    char* to = static_cast<char*>(out.data_ptr()) + row * out.stride(0) * element;
    const float lse = number(saved.lse, row);
    const float gl = number(g.logprob, row), ge = number(g.entropy, row), gz = number(g.lse, row),
                gm = number(g.mean_logit, row);
    const bool none = gl == 0 && ge == 0 && gz == 0 && gm == 0;
    if ((alive && !alive[row]) || none || lse == -std::numeric_limits<float>::infinity()) {
      std::fill_n(to + begin * element, count * element, char{0});
      return;
    }
    kernels::kernels().logit_gradient(
        matrix[row], begin, count, token ? token[row] : -1, lse, number(saved.entropy, row), gl, ge,
        gz, gm == 0 ? 0.0f : gm / std::max(1.0f, number(saved.finite, row)), to);
  });
}

TokenStats token_stats(const Tensor& logits, const Tensor& tokens, const LogitTransform& transform,
                       const StatsRequest& request, const LiveRows& live, bool temporary) {
  check_logits("token_stats", logits, transform);
  const Tensor alive = live_rows("token_stats", tokens, live, logits.size(0), logits.size(1));
  return live_stats(logits, tokens, alive, transform, request, temporary);
}

TokenStats live_stats(const Tensor& logits, const Tensor& tokens, const Tensor& alive,
                      const LogitTransform& transform, const StatsRequest& request,
                      bool temporary) {
  if (has_kernel(logits)) {
    const Tensor plain = tokens.defined() ? tokens.contiguous() : tokens;
    return from_list(TokenStatsFunction::apply(logits, optional(plain), optional(alive), transform,
                                               request, temporary),
                     tokens.defined(), request);
  }
  if (!alive.defined()) return composed_stats(logits, tokens, transform, request);
  return scattered(alive, [&](const Tensor& rows) {
    return composed_stats(logits.index_select(0, rows),
                          tokens.defined() ? tokens.index_select(0, rows) : tokens,
                          selected(transform, rows), request);
  });
}

TokenStats scattered(const Tensor& live, const std::function<TokenStats(const Tensor&)>& of_rows) {
  const Tensor rows = live.nonzero().squeeze(1);
  TokenStats s = of_rows(rows);
  for (Tensor* x :
       {&s.logprob, &s.entropy, &s.lse, &s.argmax, &s.mean_logit, &s.sum_squares, &s.raw_lse}) {
    if (x->defined()) *x = at::zeros({live.size(0)}, x->options()).index_copy(0, rows, *x);
  }
  return s;
}

Tensor gather_logprobs(const Tensor& logits, const Tensor& ids, const LogitTransform& transform) {
  check_logits("gather_logprobs", logits, transform);
  GUERDON_CHECK(ids.dim() == 2 && ids.scalar_type() == at::kLong && ids.size(0) == logits.size(0),
                "gather_logprobs: ids ", ids.sizes(), " must be [", logits.size(0), ", K] int64");
  GUERDON_CHECK(ids.size(1) <= 1024, "gather_logprobs: ", ids.size(1),
                " tokens a row; at most 1024");
  GUERDON_CHECK(((ids >= -1) & (ids < logits.size(1))).all().item<bool>(),
                "gather_logprobs: an id lies outside [-1, ", logits.size(1), ")");
  const Tensor lse = token_stats(logits, {}, transform).lse;
  Tensor z = logits.gather(1, ids.clamp_min(0));
  z = transformed(z.to(at_least_float(z)), transform);
  return at::where(ids >= 0, z - lse.unsqueeze(1), at::zeros({}, lse.options()));
}

}  // namespace guerdon::ops
