#include "kernels/cuda/tensors.h"

namespace guerdon::ops::cuda {

using kernels::DivergenceKind;

RowStats row_stats(const Tensor& x, const Tensor& tokens, const Tensor& live,
                   const LogitTransform& transform, const StatsRequest& request) {
  const Rows in(x, transform, live);
  const auto wanted = [&](bool asked, at::ScalarType type = at::kFloat) {
    return asked ? at::empty({in.rows}, x.options().dtype(type)) : Tensor();
  };
  RowStats out{{.logprob = wanted(tokens.defined()),
                .entropy = wanted(request.entropy),
                .lse = wanted(true),
                .argmax = wanted(request.argmax, at::kLong),
                .mean_logit = wanted(request.mean_logit),
                .sum_squares = wanted(request.sum_squares),
                .raw_lse = wanted(request.raw_lse)},
               wanted(request.mean_logit)};
  const Tensor room = room_for<kernels::LogitBlock>(x, in.rows * in.blocks());
  on_device_of("token_stats", x, [&](cudaStream_t stream) {
    device::token_stats(in,
                        {.entropy = request.entropy,
                         .squares = request.sum_squares,
                         .argmax = request.argmax,
                         .mean = request.mean_logit,
                         .raw = request.raw_lse},
                        data<const int64_t>(tokens), data<kernels::LogitBlock>(room),
                        {.lse = data<float>(out.of.lse),
                         .logprob = data<float>(out.of.logprob),
                         .entropy = data<float>(out.of.entropy),
                         .mean = data<float>(out.of.mean_logit),
                         .squares = data<float>(out.of.sum_squares),
                         .raw = data<float>(out.of.raw_lse),
                         .finite = data<float>(out.finite),
                         .argmax = data<int64_t>(out.of.argmax)},
                        stream);
  });
  return out;
}

void row_gradients(const Tensor& x, const Tensor& tokens, const Tensor& live,
                   const LogitTransform& transform, const SavedStats& saved,
                   const StatsGradients& gradients, Tensor& out) {
  const Rows in(x, transform, live);
  on_device_of("token_stats", x, [&](cudaStream_t stream) {
    device::token_stats_backward(in, data<const int64_t>(tokens),
                                 {.lse = data<const float>(saved.lse),
                                  .entropy = data<const float>(saved.entropy),
                                  .finite = data<const float>(saved.finite),
                                  .d_logprob = data<const float>(gradients.logprob),
                                  .d_entropy = data<const float>(gradients.entropy),
                                  .d_lse = data<const float>(gradients.lse),
                                  .d_mean = data<const float>(gradients.mean_logit)},
                                 out.mutable_data_ptr(), out.stride(0), stream);
  });
}

namespace {

/// A pair for the kernels; holds what they point to.
struct Pair {
  explicit Pair(const PairInput& in)
      : student(in.student, in.student_transform, in.live),
        teacher(in.teacher, in.teacher_transform, {}),
        second(in.second.defined() ? in.second : in.teacher, in.teacher_transform, {}),
        weights(in.weights.defined() ? in.weights.contiguous() : Tensor()),
        rows{.student = student,
             .teacher = teacher,
             .second = second,
             .combined = in.second.defined(),
             .weight = data<const float>(weights),
             .second_weight =
                 weights.defined() ? data<const float>(weights) + student.rows : nullptr} {}
  Rows student, teacher, second;
  Tensor weights;
  device::PairRows rows;
};

device::PairResults results(const PairSums& sums) {
  return {.value = data<float>(sums.value),
          .inner = data<float>(sums.inner),
          .lse_student = data<float>(sums.lse_student),
          .lse_teacher = data<float>(sums.lse_teacher)};
}

}  // namespace

PairSums pair_sums(const PairInput& input) {
  const Pair in(input);
  const int64_t rows = in.student.rows, blocks = rows * in.student.blocks();
  const auto empty = [&] { return at::empty({rows}, input.student.options().dtype(at::kFloat)); };
  const PairSums out{empty(), empty(), empty(), empty()};
  const bool plain_kl =
      input.kind == DivergenceKind::reverse_kl || input.kind == DivergenceKind::forward_kl;
  const Tensor pairs = room_for<kernels::PairBlock>(input.student, blocks),
               values = room_for<kernels::DivergenceBlock>(input.student, blocks);
  on_device_of("divergence", input.student, [&](cudaStream_t stream) {
    device::pair_sums(in.rows, input.kind == DivergenceKind::forward_kl,
                      data<kernels::PairBlock>(pairs), results(out), stream);
    if (input.fast && plain_kl) return;
    device::divergence(in.rows, input.kind, static_cast<float>(input.beta),
                       data<kernels::DivergenceBlock>(values), results(out), stream);
  });
  return out;
}

void pair_gradient(const PairInput& input, const PairSums& sums, bool of_student, const Tensor& d,
                   Tensor& out) {
  const Pair in(input);
  on_device_of("divergence", input.student, [&](cudaStream_t stream) {
    device::divergence_backward(in.rows, input.kind, static_cast<float>(input.beta), results(sums),
                                of_student, data<const float>(d), out.mutable_data_ptr(),
                                out.stride(0), stream);
  });
}

Sampled sample_tokens(const Tensor& logits, const Tensor& uniforms, const Tensor& lse,
                      const LogitTransform& transform, const SamplingOptions& options) {
  const Rows in(logits, transform, {});
  const auto empty = [&](at::ScalarType type) {
    return at::empty({in.rows}, logits.options().dtype(type));
  };
  const bool greedy = options.temperature <= 1e-5;
  Sampled out{
      greedy ? row_stats(logits, {}, {}, transform, {.argmax = true}).of.argmax : empty(at::kLong),
      empty(at::kFloat), empty(at::kFloat)};
  on_device_of("sample_tokens", logits, [&](cudaStream_t stream) {
    device::sample_tokens(in, {greedy, options.top_k, options.top_p, options.min_p},
                          data<const double>(uniforms), data<const float>(lse),
                          data<int64_t>(out.token), data<float>(out.logprob), data<float>(out.kept),
                          stream);
  });
  return out;
}

}  // namespace guerdon::ops::cuda
