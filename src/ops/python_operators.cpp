// torch.ops.guerdon: the operators that Python users want. docs/kernels.md shows them at work.
#include <ATen/TensorSubclassLikeUtils.h>
#include <torch/library.h>

#include <array>
#include <string>
#include <tuple>

#include "composed.h"
#include "guerdon/base/error.h"
#include "guerdon/ops/attention.h"
#include "guerdon/ops/cross_entropy.h"
#include "guerdon/ops/divergence.h"
#include "guerdon/ops/kl_estimate.h"
#include "guerdon/ops/policy_loss.h"
#include "guerdon/ops/sampling.h"
#include "guerdon/ops/scan.h"
#include "guerdon/ops/token_stats.h"
#include "inputs.h"
#include "logit_rows.h"

namespace guerdon::ops {
namespace {

using MaybeTensor = std::optional<Tensor>;
using ThreeTensors = std::tuple<Tensor, Tensor, Tensor>;

/// Without numbers to read: meta tensors, and those of a compiler that traces or of vmap. The plain
/// forms serve these.
bool traced(const Tensor& x) { return x.is_meta() || at::isTensorSubclassLike(x); }

/// Statistics of the plain form, 0 in ignored rows.
TokenStats traced_stats(const Tensor& logits, const Tensor& tokens, const LogitTransform& transform,
                        int64_t ignore_index) {
  const Tensor live = tokens != ignore_index;
  TokenStats s = composed_stats(logits, at::where(live, tokens, at::zeros_like(tokens)), transform,
                                {.entropy = true});
  const Tensor zero = at::zeros({}, s.lse.options());
  s.logprob = at::where(live, s.logprob, zero);
  s.entropy = at::where(live, s.entropy, zero);
  s.lse = at::where(live, s.lse, zero);
  return s;
}

ThreeTensors token_stats_op(const Tensor& logits, const Tensor& tokens, double scale,
                            double softcap, double temperature, int64_t ignore_index) {
  const LogitTransform transform{scale, softcap, temperature};
  const TokenStats s = traced(logits) ? traced_stats(logits, tokens, transform, ignore_index)
                                      : token_stats(logits, tokens, transform, {.entropy = true},
                                                    {.ignore_index = ignore_index});
  return {s.logprob, s.entropy, s.lse};
}

ThreeTensors linear_token_stats_op(const Tensor& hidden, const Tensor& weight, const Tensor& tokens,
                                   const MaybeTensor& bias, double scale, double softcap,
                                   double temperature, int64_t ignore_index,
                                   int64_t workspace_bytes) {
  const LogitTransform transform{scale, softcap, temperature};
  const TokenStats s =
      traced(hidden)
          ? traced_stats(at::linear(hidden, weight, bias), tokens, transform, ignore_index)
          : linear_token_stats(hidden, weight, bias.value_or(Tensor()), tokens, transform,
                               {.entropy = true}, {.ignore_index = ignore_index},
                               {.workspace_bytes = workspace_bytes});
  return {s.logprob, s.entropy, s.lse};
}

Tensor linear_cross_entropy_op(const Tensor& hidden, const Tensor& weight, const Tensor& tokens,
                               const MaybeTensor& bias, double label_smoothing, double softcap,
                               int64_t ignore_index, int64_t workspace_bytes) {
  if (traced(hidden)) {
    Tensor z = at::linear(hidden, weight, bias);
    z = transformed(z.to(at_least_float(z)), {.softcap = softcap});
    return at::cross_entropy_loss(z, tokens, {}, at::Reduction::Mean, ignore_index,
                                  label_smoothing);
  }
  return linear_cross_entropy(hidden, weight, bias.value_or(Tensor()), tokens,
                              {.label_smoothing = label_smoothing}, {.softcap = softcap},
                              {.ignore_index = ignore_index}, {.workspace_bytes = workspace_bytes});
}

struct Named {
  const char* name;
  Divergence kind;
  kernels::DivergenceKind kernel;
};
constexpr std::array<Named, 4> kDivergences{{
    {"reverse_kl", Divergence::reverse_kl, kernels::DivergenceKind::reverse_kl},
    {"forward_kl", Divergence::forward_kl, kernels::DivergenceKind::forward_kl},
    {"jsd", Divergence::jsd, kernels::DivergenceKind::jsd},
    {"total_variation", Divergence::total_variation, kernels::DivergenceKind::total_variation},
}};

const Named& divergence_named(c10::string_view name) {
  for (const Named& known : kDivergences) {
    if (name == known.name) return known;
  }
  fail_settings("divergence", str("kind \"", std::string(name),
                                  "\": one of reverse_kl, forward_kl, jsd, total_variation"));
}

Tensor divergence_op(const Tensor& student, const Tensor& teacher, c10::string_view kind,
                     double beta, double temperature) {
  const Named& named = divergence_named(kind);
  const LogitTransform transform{.temperature = temperature};
  if (traced(student) || traced(teacher)) {
    const auto wide = [&](const Tensor& x) {
      return transformed(x.to(at_least_float(x)), transform);
    };
    return composed_divergence(wide(student), wide(teacher), named.kernel, beta);
  }
  return divergence(student, teacher, named.kind,
                    {.beta = beta, .student = transform, .teacher = transform});
}

Tensor linear_divergence_op(const Tensor& student_hidden, const Tensor& student_weight,
                            const Tensor& teacher_hidden, const Tensor& teacher_weight,
                            c10::string_view kind, double beta, double temperature,
                            int64_t workspace_bytes) {
  if (traced(student_hidden)) {
    return divergence_op(at::linear(student_hidden, student_weight),
                         at::linear(teacher_hidden, teacher_weight), kind, beta, temperature);
  }
  const LogitTransform transform{.temperature = temperature};
  return linear_divergence({student_hidden, student_weight}, {teacher_hidden, teacher_weight},
                           divergence_named(kind).kind,
                           {.beta = beta, .student = transform, .teacher = transform}, {},
                           {.workspace_bytes = workspace_bytes});
}

Tensor packed_attention_op(const Tensor& q, const Tensor& k, const Tensor& v,
                           const Tensor& segments, double scale, double softcap, int64_t window,
                           bool causal) {
  if (q.is_meta()) return at::empty_like(q);
  GUERDON_CHECK(!traced(q), "packed_attention: cannot be traced, it reads the segments");
  GUERDON_CHECK(segments.dim() == 2 && segments.size(1) == 3 && segments.scalar_type() == at::kLong,
                "packed_attention: segments ", segments.sizes(),
                " must be [S, 3] int64: begin, end, parent or -1");
  const Tensor rows = segments.cpu().contiguous();
  const auto* numbers = rows.const_data_ptr<int64_t>();
  std::vector<AttentionSegment> list;
  for (int64_t i = 0; i < rows.size(0); ++i)
    list.push_back({numbers[3 * i], numbers[3 * i + 1], numbers[3 * i + 2]});
  return packed_attention(q, k, v, list, {scale, softcap, window, causal});
}

std::tuple<Tensor, Tensor> sample_tokens_op(const Tensor& logits, const Tensor& uniforms,
                                            double temperature, int64_t top_k, double top_p,
                                            double min_p) {
  if (logits.is_meta()) {
    return {at::empty({logits.size(0)}, logits.options().dtype(at::kLong)),
            at::empty({logits.size(0)}, logits.options().dtype(at::kFloat))};
  }
  const Tensor u = uniforms.to(at::kCPU, at::kDouble).contiguous();
  const Sampled s =
      sample_tokens(logits, {u.const_data_ptr<double>(), static_cast<size_t>(u.numel())}, {},
                    {.temperature = temperature, .top_k = top_k, .top_p = top_p, .min_p = min_p});
  return {s.token, s.logprob};
}

Tensor kl_estimate_op(const Tensor& logprobs, const Tensor& reference, c10::string_view kind) {
  struct NamedEstimate {
    const char* name;
    KlEstimate kind;
  };
  constexpr std::array<NamedEstimate, 5> kEstimates{{
      {"k1", KlEstimate::k1},
      {"k2", KlEstimate::k2},
      {"k3", KlEstimate::k3},
      {"abs", KlEstimate::abs},
      {"k3_straight_through", KlEstimate::k3_straight_through},
  }};
  for (const NamedEstimate& known : kEstimates) {
    if (kind != known.name) continue;
    return traced(logprobs) ? composed_kl_estimate(logprobs, reference, known.kind, {})
                            : kl_estimate(logprobs, reference, known.kind);
  }
  fail_settings("kl_estimate", str("kind \"", std::string(kind),
                                   "\": one of k1, k2, k3, abs, k3_straight_through"));
}

Tensor policy_loss_op(const Tensor& logprobs, const MaybeTensor& old, const Tensor& advantage,
                      const Tensor& row, int64_t rows, const MaybeTensor& weight,
                      const MaybeTensor& reference, double low, double high, bool row_ratio,
                      double beta, bool kl_times_ratio, bool row_means, double divisor) {
  if (logprobs.is_meta()) return at::empty({}, logprobs.options());
  GUERDON_CHECK(!traced(logprobs), "policy_loss: cannot be traced, it reads the rows");
  return policy_loss({.logprobs = logprobs,
                      .old = old.value_or(Tensor()),
                      .reference = reference.value_or(Tensor()),
                      .advantage = advantage,
                      .row = row,
                      .weight = weight ? *weight : at::ones_like(logprobs.detach()),
                      .rows = rows},
                     {.row_ratio = row_ratio,
                      .low = low,
                      .high = high,
                      .beta = beta,
                      .kl_times_ratio = kl_times_ratio,
                      .row_means = row_means,
                      .divisor = divisor})
      .loss;
}

std::tuple<Tensor, Tensor> gae_op(const Tensor& rewards, const Tensor& values,
                                  const Tensor& offsets, double gamma, double lambda,
                                  const MaybeTensor& mask, const MaybeTensor& bootstrap) {
  if (rewards.is_meta()) return {at::empty_like(rewards), at::empty_like(rewards)};
  GUERDON_CHECK(!traced(rewards), "gae: cannot be traced, it reads the offsets");
  const Gae out = gae(rewards, values, {offsets, mask.value_or(Tensor())},
                      {gamma, lambda, bootstrap.value_or(Tensor())});
  return {out.advantage, out.returns};
}

TORCH_LIBRARY_FRAGMENT(guerdon, m) {
  m.def(
      "token_stats(Tensor logits, Tensor tokens, *, float scale=1., float softcap=0., "
      "float temperature=1., int ignore_index=-100) -> (Tensor logprob, Tensor entropy, Tensor "
      "lse)",
      token_stats_op);
  m.def(
      "linear_token_stats(Tensor hidden, Tensor weight, Tensor tokens, Tensor? bias=None, *, "
      "float scale=1., float softcap=0., float temperature=1., int ignore_index=-100, "
      "int workspace_bytes=67108864) -> (Tensor logprob, Tensor entropy, Tensor lse)",
      linear_token_stats_op);
  m.def(
      "linear_cross_entropy(Tensor hidden, Tensor weight, Tensor tokens, Tensor? bias=None, *, "
      "float label_smoothing=0., float softcap=0., int ignore_index=-100, "
      "int workspace_bytes=67108864) -> Tensor",
      linear_cross_entropy_op);
  m.def(
      "divergence(Tensor student, Tensor teacher, str kind='reverse_kl', *, float beta=0.5, "
      "float temperature=1.) -> Tensor",
      divergence_op);
  m.def(
      "linear_divergence(Tensor student_hidden, Tensor student_weight, Tensor teacher_hidden, "
      "Tensor teacher_weight, str kind='reverse_kl', *, float beta=0.5, float temperature=1., "
      "int workspace_bytes=67108864) -> Tensor",
      linear_divergence_op);
  m.def(
      "packed_attention(Tensor q, Tensor k, Tensor v, Tensor segments, *, float scale=0., "
      "float softcap=0., int window=0, bool causal=True) -> Tensor",
      packed_attention_op);
  m.def(
      "sample_tokens(Tensor logits, Tensor uniforms, *, float temperature=1., int top_k=0, "
      "float top_p=1., float min_p=0.) -> (Tensor token, Tensor logprob)",
      sample_tokens_op);
  m.def("kl_estimate(Tensor logprobs, Tensor reference, str kind='k3') -> Tensor", kl_estimate_op);
  m.def(
      "policy_loss(Tensor logprobs, Tensor? old, Tensor advantage, Tensor row, int rows, *, "
      "Tensor? weight=None, Tensor? reference=None, float low=0.8, float high=1.2, "
      "bool row_ratio=False, float beta=0., bool kl_times_ratio=True, bool row_means=False, "
      "float divisor=1.) -> Tensor",
      policy_loss_op);
  m.def(
      "gae(Tensor rewards, Tensor values, Tensor offsets, *, float gamma=1., float lam=0.95, "
      "Tensor? mask=None, Tensor? bootstrap=None) -> (Tensor advantage, Tensor returns)",
      gae_op);
}

}  // namespace
}  // namespace guerdon::ops
