#include "kernels/cuda/tensors.h"
#include "ops/policy_numbers.h"

namespace guerdon::ops::cuda {
namespace {

/// Of each row, float64: the sum of weight times value; of the weights alone without values.
Tensor row_sums(const Tensor& value, const Tensor& weight, const Tensor& row, int64_t rows) {
  Tensor out = at::empty({rows}, weight.options().dtype(at::kDouble));
  on_device_of("row_sums", weight, [&](cudaStream_t stream) {
    const auto sum = [&](const auto* values) {
      device::row_sums(values, data<const float>(weight), data<const int64_t>(row), weight.numel(),
                       rows, data<double>(out), stream);
    };
    if (value.defined() && value.scalar_type() == at::kDouble) {
      sum(data<const double>(value));
    } else {
      sum(data<const float>(value));
    }
  });
  return out;
}

/// What a mean over weights is divided by.
Tensor divisor_of(const Tensor& weights) {
  return at::where(weights == 0, at::ones_like(weights), weights);
}

/// Log-ratios that are averaged over rows, float64, and whether they move with the log-prob.
struct LogRatios {
  Tensor value, moves;
};
LogRatios log_ratios(const PolicyTokens& t, const PolicyObjective& o) {
  Tensor x = t.old.defined() ? t.logprobs.to(at::kDouble) - t.old.to(at::kDouble)
                             : at::zeros_like(t.logprobs, at::kDouble);
  if (o.term != PolicyTerm::geometric) return {x, at::ones_like(x, at::kBool)};
  const Tensor good = t.advantage >= 0, outside = at::where(good, x > o.high, x < o.low);
  return {at::where(good, x.clamp_max(o.high), x.clamp_min(o.low)).contiguous(), ~outside};
}

}  // namespace

std::pair<Tensor, Tensor> kl_estimate(const Tensor& logprobs, const Tensor& reference,
                                      kernels::KlKind kind, const KlEstimateOptions& o) {
  Tensor value = at::empty_like(logprobs), slope = at::empty_like(logprobs);
  on_device_of("kl_estimate", logprobs, [&](cudaStream_t stream) {
    device::kl_estimate(data<const float>(logprobs), data<const float>(reference), kind,
                        static_cast<float>(o.max_log_ratio), static_cast<float>(o.max_value),
                        logprobs.numel(), data<float>(value), data<float>(slope), stream);
  });
  return {value, slope};
}

PolicyPass policy_pass(const PolicyTokens& t, const PolicyObjective& o) {
  const int64_t count = t.logprobs.numel();
  const bool by_row = o.row_ratio || o.term == PolicyTerm::geometric;
  const bool kl = o.beta != 0 && t.reference.defined();
  const Tensor total = divisor_of(row_sums({}, t.weight, t.row, t.rows));
  LogRatios ratios;
  Tensor row_log_ratio, row_share, through;
  if (by_row) {
    ratios = log_ratios(t, o);
    row_log_ratio = (row_sums(ratios.value, t.weight, t.row, t.rows) / total).to(at::kFloat);
    through = at::empty_like(t.logprobs);
  }
  if (o.row_means) row_share = (1.0 / (total * o.divisor)).to(at::kFloat);

  const kernels::PolicyNumbers numbers = numbers_of(o);
  Tensor gradient = at::empty_like(t.logprobs), side = at::empty_like(t.logprobs);
  const Tensor sums = at::empty({8}, t.logprobs.options().dtype(at::kDouble)),
               room = room_for<kernels::PolicySums>(sums, device::policy_blocks(count));
  on_device_of("policy_loss", t.logprobs, [&](cudaStream_t stream) {
    device::policy_terms({.logprob = data<const float>(t.logprobs),
                          .old = data<const float>(t.old),
                          .reference = kl ? data<const float>(t.reference) : nullptr,
                          .sampling = data<const float>(t.sampling),
                          .entropy = data<const float>(t.entropy),
                          .factor = data<const float>(t.factor),
                          .advantage = data<const float>(t.advantage),
                          .weight = data<const float>(t.weight),
                          .row = data<const int64_t>(t.row),
                          .row_log_ratio = data<const float>(row_log_ratio),
                          .row_share = data<const float>(row_share)},
                         numbers, count,
                         {data<float>(gradient), data<float>(through), data<float>(side)},
                         data<kernels::PolicySums>(room), data<double>(sums), stream);
  });
  if (by_row) {
    // d mean / d logprob_i = w_i / sum w, where the log-ratio moves at all.
    const Tensor into = row_sums(through, (t.weight != 0).to(at::kFloat), t.row, t.rows) / total;
    const Tensor share = into.index_select(0, t.row) * t.weight.to(at::kDouble);
    gradient +=
        at::where((t.weight != 0) & ratios.moves, share, at::zeros_like(share)).to(at::kFloat);
  }
  const auto of_side = [&](double sign) {
    return row_sums((side == sign).to(at::kFloat), t.weight, t.row, t.rows);
  };
  const Tensor low = of_side(-1), high = of_side(1);
  const auto sum = [&](int64_t i, bool there) { return there ? sums.select(0, i) : Tensor(); };
  const Tensor zero = at::zeros({}, sums.options());
  return {.loss = sums.select(0, 0).to(t.logprobs.scalar_type()),
          .gradient = gradient,
          .sums = {.live = (t.weight != 0).sum().item<int64_t>(),
                   .low = low.sum(),
                   .high = high.sum(),
                   .least_low = t.rows > 0 ? (low / total).amin().clamp_max(1.0) : zero,
                   .most_high = t.rows > 0 ? (high / total).amax().clamp_min(0.0) : zero,
                   .kl = sum(1, kl),
                   .k1 = sum(2, kl),
                   .k2 = sum(3, kl),
                   .k3 = sum(4, kl),
                   .entropy = sum(5, t.entropy.defined()),
                   .difference = sum(6, t.sampling.defined()),
                   .largest_difference = sum(7, t.sampling.defined())}};
}

SegmentLogprob segment_logprob(const Tensor& values, const Tensor& row, int64_t rows,
                               const Tensor& weight) {
  const Tensor sum = row_sums(values, weight, row, rows), total = row_sums({}, weight, row, rows);
  return {.sum = sum.to(at::kFloat),
          .mean = (sum / divisor_of(total)).to(at::kFloat),
          .weight = total.to(at::kFloat)};
}

Tensor discounted_scan(const Tensor& b, const Tensor& a, const ScanTokens& tokens) {
  Tensor y = at::zeros_like(b);
  on_device_of("discounted_scan", b, [&](cudaStream_t stream) {
    device::discounted_scan(data<const double>(b), data<const double>(a),
                            data<const int64_t>(tokens.offsets), data<const bool>(tokens.mask),
                            tokens.offsets.numel() - 1, data<double>(y), stream);
  });
  return y;
}

Gae gae(const Tensor& rewards, const Tensor& values, const ScanTokens& tokens,
        const GaeOptions& o) {
  Gae out{at::zeros_like(rewards), at::zeros_like(rewards)};
  on_device_of("gae", rewards, [&](cudaStream_t stream) {
    device::gae(
        data<const double>(rewards), data<const double>(values), data<const double>(o.bootstrap),
        o.gamma, o.lambda, data<const int64_t>(tokens.offsets), data<const bool>(tokens.mask),
        tokens.offsets.numel() - 1, data<double>(out.advantage), data<double>(out.returns), stream);
  });
  return out;
}

}  // namespace guerdon::ops::cuda
