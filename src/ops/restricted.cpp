#include "guerdon/ops/restricted.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include "composed.h"
#include "guerdon/base/error.h"
#include "head.h"
#include "inputs.h"
#include "logit_rows.h"
#include "row_stats.h"

namespace guerdon::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr float kNone = -std::numeric_limits<float>::infinity();

/// The sets as the kernels read them.
struct Sets {
  const int64_t* offsets;
  const int32_t* ids;
  explicit Sets(const KeptTokens& kept)
      : offsets(kept.offsets.const_data_ptr<int64_t>()), ids(kept.ids.const_data_ptr<int32_t>()) {}

  int64_t size(int64_t row) const { return offsets[row + 1] - offsets[row]; }
  /// Calls body(first id, how many) for each slice of a row's set.
  template <class Body>
  void slices(int64_t row, const Body& body) const {
    for (int64_t begin = 0; begin < size(row); begin += kLogitSlice)
      body(ids + offsets[row] + begin, std::min(kLogitSlice, size(row) - begin));
  }
};

/// logits -> (logprob, lse).
class RestrictedFunction : public torch::autograd::Function<RestrictedFunction> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& x, const Tensor& tokens,
                               const KeptTokens& kept, const Tensor& dropped,
                               const LogitTransform& transform) {
    const LogitMatrix matrix(x, transform);
    const Sets sets(kept);
    Tensor logprob = at::empty({matrix.rows()}, x.options().dtype(at::kFloat)),
           lse = at::empty_like(logprob);
    at::parallel_for(0, matrix.rows(), 1, [&](int64_t begin, int64_t end) {
      std::vector<kernels::LogitBlock> blocks;
      std::vector<float> z(kLogitSlice);
      for (int64_t row = begin; row < end; ++row) {
        blocks.clear();
        sets.slices(row, [&](const int32_t* ids, int64_t count) {
          kernels::kernels().gather_logits(matrix[row], ids, count, z.data());
          kernels::kernels().logit_block({.x = z.data()}, 0, count, {}, &blocks.emplace_back());
        });
        const auto of_set = static_cast<float>(merged(blocks).lse());
        lse.data_ptr<float>()[row] = of_set;
        float own = kNone;
        if (!dropped.const_data_ptr<bool>()[row])
          kernels::kernels().logit_values(matrix[row], tokens.const_data_ptr<int64_t>()[row], 1,
                                          &own);
        const float value = own == kNone ? own : own - of_set;
        logprob.data_ptr<float>()[row] = value > 0 ? 0.0f : value;  // above 0 by rounding only
      }
    });
    context->save_for_backward(
        {x, tokens, kept.offsets, kept.ids, dropped, lse, transform.temperatures});
    context->saved_data["transform"] =
        std::vector<double>{transform.scale, transform.softcap, transform.temperature};
    return {logprob, lse};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("restricted_logprob");
    const variable_list s = context->get_saved_variables();
    const std::vector<double> t = context->saved_data["transform"].toDoubleVector();
    const LogitMatrix matrix(s[0], {t[0], t[1], t[2], s[6]});
    const Sets sets({s[2], s[3]});
    const Tensor by_logprob = gradients[0].contiguous(), by_lse = gradients[1].contiguous();
    Tensor out = at::zeros(s[0].sizes(), s[0].options());
    const auto row_bytes = out.size(1) * static_cast<int64_t>(out.element_size());
    at::parallel_for(0, matrix.rows(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const float lse = s[5].const_data_ptr<float>()[row];
        const bool dropped = s[4].const_data_ptr<bool>()[row];
        const float dl = dropped ? 0.0f : by_logprob.const_data_ptr<float>()[row];
        const float ds = by_lse.const_data_ptr<float>()[row];
        if ((dl == 0 && ds == 0) || lse == kNone) continue;
        sets.slices(row, [&](const int32_t* ids, int64_t count) {
          kernels::kernels().scatter_gradient(
              matrix[row], ids, count, s[1].const_data_ptr<int64_t>()[row], lse, dl, ds,
              static_cast<char*>(out.mutable_data_ptr()) + row * row_bytes);
        });
      }
    });
    return {out, {}, {}, {}, {}};
  }
};

/// Throws unless the sets are as they should be; whether each row's token lies outside its own.
Tensor dropped_tokens(const char* who, const Tensor& tokens, const KeptTokens& kept, int64_t rows,
                      int64_t vocabulary) {
  GUERDON_CHECK(kept.offsets.dim() == 1 && kept.offsets.size(0) == rows + 1 &&
                    kept.offsets.scalar_type() == at::kLong && kept.ids.dim() == 1 &&
                    kept.ids.scalar_type() == at::kInt && kept.offsets.is_contiguous() &&
                    kept.ids.is_contiguous(),
                who, ": sets of offsets ", kept.offsets.sizes(), " int64 and ids ",
                kept.ids.sizes(), " int32 for ", rows, " rows");
  const Sets sets(kept);
  GUERDON_CHECK(sets.offsets[0] >= 0 && sets.offsets[rows] <= kept.ids.size(0), who,
                ": offsets run from ", sets.offsets[0], " to ", sets.offsets[rows], ", there are ",
                kept.ids.size(0), " ids");
  Tensor dropped = at::empty({rows}, at::kBool);
  for (int64_t row = 0; row < rows; ++row) {
    GUERDON_CHECK(sets.size(row) > 0, who, ": row ", row, " kept no token");
    const int32_t *begin = sets.ids + sets.offsets[row], *end = begin + sets.size(row);
    GUERDON_CHECK(*begin >= 0 && end[-1] < vocabulary &&
                      std::adjacent_find(begin, end, std::greater_equal<>()) == end,
                  who, ": the ids of row ", row, " must rise within [0, ", vocabulary, ")");
    const int64_t token = tokens.const_data_ptr<int64_t>()[row];
    dropped.data_ptr<bool>()[row] = !std::binary_search(begin, end, token);
  }
  return dropped;
}

/// restricted_logprob of checked arguments.
RestrictedLogprob restricted(const Tensor& logits, const Tensor& tokens, const KeptTokens& kept,
                             const Tensor& dropped, const LogitTransform& transform) {
  if (!has_kernel(logits) || !logits.is_cpu()) {
    const auto [logprob, lse] = composed_restricted(transformed(logits, transform), tokens,
                                                    kept.offsets, kept.ids, dropped);
    return {.logprob = logprob, .lse = lse, .dropped = dropped};
  }
  const variable_list out = RestrictedFunction::apply(logits, tokens, kept, dropped, transform);
  return {.logprob = out[0], .lse = out[1], .dropped = dropped};
}

KeptTokens part_of(const KeptTokens& kept, int64_t begin, int64_t count) {
  return {kept.offsets.narrow(0, begin, count + 1), kept.ids};
}

/// hidden, weight, bias -> (logprob, lse), logits one chunk at a time, and again in the backward
/// pass.
class LinearRestricted : public torch::autograd::Function<LinearRestricted> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& hidden, const Tensor& weight,
                               const std::optional<Tensor>& given_bias, const Tensor& tokens,
                               const KeptTokens& kept, const Tensor& dropped,
                               const LogitTransform& transform, const HeadOptions& options) {
    const Tensor bias = given_bias.value_or(Tensor());
    std::vector<Tensor> logprobs, lses;
    each_chunk(hidden, weight, options, [&](int64_t begin, int64_t count) {
      const Tensor x = chunk_logits(hidden.narrow(0, begin, count), weight, bias, options);
      const RestrictedLogprob r =
          restricted(x, tokens.narrow(0, begin, count), part_of(kept, begin, count),
                     dropped.narrow(0, begin, count), narrowed(transform, begin, count));
      logprobs.push_back(r.logprob), lses.push_back(r.lse);
    });
    context->save_for_backward(
        {hidden, weight, bias, tokens, kept.offsets, kept.ids, dropped, transform.temperatures});
    context->saved_data["transform"] =
        std::vector<double>{transform.scale, transform.softcap, transform.temperature};
    context->saved_data["options"] =
        std::vector<int64_t>{options.workspace_bytes, options.float_logits};
    if (logprobs.empty()) {
      const Tensor none = at::empty({0}, hidden.options().dtype(at_least_float(hidden)));
      return {none, none.clone()};
    }
    return {at::cat(logprobs), at::cat(lses)};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("linear_restricted_logprob");
    const variable_list s = context->get_saved_variables();
    const std::vector<double> t = context->saved_data["transform"].toDoubleVector();
    const std::vector<int64_t> o = context->saved_data["options"].toIntVector();
    const HeadOptions options{o[0], o[1] != 0};
    const LogitTransform transform{t[0], t[1], t[2], s[7]};
    HeadGradients sums(s[0], s[1], s[2], context->needs_input_grad(0), context->needs_input_grad(1),
                       s[2].defined() && context->needs_input_grad(2));
    each_chunk(s[0], s[1], options, [&](int64_t begin, int64_t count) {
      const Tensor x = chunk_logits(s[0].narrow(0, begin, count), s[1], s[2], options);
      sums.add(begin,
               chunk_gradient(
                   x, s[3].narrow(0, begin, count), part_of({s[4], s[5]}, begin, count),
                   s[6].narrow(0, begin, count), narrowed(transform, begin, count),
                   {gradients[0].narrow(0, begin, count), gradients[1].narrow(0, begin, count)}));
    });
    return {sums.hidden(), sums.weight(), sums.bias(), {}, {}, {}, {}, {}};
  }

 private:
  /// Of the chunk's logits, by the graph of the form on logits.
  static Tensor chunk_gradient(Tensor x, const Tensor& tokens, const KeptTokens& kept,
                               const Tensor& dropped, const LogitTransform& transform,
                               const variable_list& upstream) {
    const at::AutoGradMode with_graph(true);
    x.requires_grad_();
    const RestrictedLogprob r = restricted(x, tokens, kept, dropped, transform);
    return torch::autograd::grad({r.logprob, r.lse}, {x}, upstream)[0];
  }

  template <class Body>
  static void each_chunk(const Tensor& hidden, const Tensor& weight, const HeadOptions& options,
                         const Body& body) {
    const int64_t rows = hidden.size(0),
                  chunk = chunk_rows(logit_row_bytes(hidden, weight), options, 2);
    for (int64_t begin = 0; begin < rows; begin += chunk)
      body(begin, std::min(chunk, rows - begin));
  }
};

/// Throws unless every row has a token of the vocabulary.
void check_tokens(const char* who, const Tensor& tokens, int64_t rows, int64_t vocabulary) {
  GUERDON_CHECK(tokens.defined(), who, ": tokens are needed");
  constexpr int64_t kNothing = std::numeric_limits<int64_t>::min();
  live_rows(who, tokens, {.ignore_index = kNothing}, rows, vocabulary);
}

}  // namespace

RestrictedLogprob restricted_logprob(const Tensor& logits, const Tensor& given,
                                     const KeptTokens& kept, const LogitTransform& transform) {
  check_logits("restricted_logprob", logits, transform);
  const int64_t rows = logits.size(0), vocabulary = logits.size(1);
  check_tokens("restricted_logprob", given, rows, vocabulary);
  const Tensor tokens = given.contiguous();
  return restricted(logits, tokens, kept,
                    dropped_tokens("restricted_logprob", tokens, kept, rows, vocabulary),
                    transform);
}

RestrictedLogprob linear_restricted_logprob(const Tensor& hidden, const Tensor& weight,
                                            const Tensor& bias, const Tensor& given,
                                            const KeptTokens& kept, const LogitTransform& transform,
                                            const HeadOptions& head) {
  check_head("linear_restricted_logprob", hidden, weight, bias);
  check_logits("linear_restricted_logprob", hidden, transform);
  const int64_t rows = hidden.size(0), vocabulary = weight.size(0);
  check_tokens("linear_restricted_logprob", given, rows, vocabulary);
  const Tensor tokens = given.contiguous();
  const Tensor dropped =
      dropped_tokens("linear_restricted_logprob", tokens, kept, rows, vocabulary);
  const variable_list out = LinearRestricted::apply(hidden, weight, optional(bias), tokens, kept,
                                                    dropped, transform, head);
  return {.logprob = out[0], .lse = out[1], .dropped = dropped};
}

}  // namespace guerdon::ops
