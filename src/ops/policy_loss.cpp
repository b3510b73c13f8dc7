#include "guerdon/ops/policy_loss.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "guerdon/base/error.h"
#include "inputs.h"
#include "kernels/cpu/kernels.h"
#include "policy_numbers.h"

namespace guerdon::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kBlock = 1024;  // tokens whose sums are merged in order

const float* data(const Tensor& x) { return x.defined() ? x.const_data_ptr<float>() : nullptr; }

/// Contiguous float32 columns of the same length.
PolicyTokens readable(const PolicyTokens& t) {
  const auto column = [&](const char* name, const Tensor& x) {
    if (!x.defined()) return x;
    GUERDON_CHECK(x.dim() == 1 && x.sizes() == t.logprobs.sizes(), "policy_loss: ", name, " ",
                  x.sizes(), " for ", t.logprobs.sizes(), " log-probs");
    return x.detach().to(at::kFloat).contiguous();
  };
  PolicyTokens out{.logprobs = column("logprobs", t.logprobs),
                   .old = column("old", t.old),
                   .reference = column("reference", t.reference),
                   .sampling = column("sampling", t.sampling),
                   .entropy = column("entropy", t.entropy),
                   .factor = column("factor", t.factor),
                   .advantage = column("advantage", t.advantage),
                   .row = t.row.contiguous(),
                   .weight = column("weight", t.weight),
                   .rows = t.rows};
  GUERDON_CHECK(t.row.scalar_type() == at::kLong && t.row.sizes() == t.logprobs.sizes(),
                "policy_loss: row ", t.row.sizes(), " must be ", t.logprobs.sizes(), " int64");
  check_rows("policy_loss", out.row, t.rows);
  return out;
}

/// Numbers of the rows, in float64, added in token order.
using Rows = std::vector<double>;

std::vector<float> narrow(const Rows& values) { return {values.begin(), values.end()}; }

/// The loss and its gradient, in two passes where a ratio is the row's: its mean first, and then
/// each token's share of what flows into it.
class Pass {
 public:
  /// `tokens` as readable() gives them.
  Pass(const PolicyTokens& tokens, const PolicyObjective& objective)
      : t_(tokens),
        o_(objective),
        n_(t_.logprobs.numel()),
        by_row_(o_.row_ratio || o_.term == PolicyTerm::geometric),
        logprob_(data(t_.logprobs)),
        old_(data(t_.old)),
        advantage_(data(t_.advantage)),
        weight_(data(t_.weight)),
        row_(t_.row.const_data_ptr<int64_t>()),
        weights_(static_cast<size_t>(t_.rows)),
        gradient_(at::empty_like(t_.logprobs)),
        side_(at::empty_like(t_.logprobs)) {
    for_live([&](int64_t i, size_t r) { weights_[r] += weight(i), ++sums_.live; });
  }

  /// The loss; gradient() and sums() are there after it.
  Tensor run() {
    Rows log_ratios(weights_.size());
    if (by_row_) {
      for_live([&](int64_t i, size_t r) { log_ratios[r] += weight(i) * log_ratio(i).value; });
      for (size_t r = 0; r < log_ratios.size(); ++r) log_ratios[r] /= total(r);
    }
    Rows shares(weights_.size());
    for (size_t r = 0; r < shares.size(); ++r) shares[r] = 1.0 / (total(r) * o_.divisor);
    const std::vector<float> row_log_ratio = narrow(log_ratios), row_share = narrow(shares);
    Tensor through = by_row_ ? at::empty_like(gradient_) : Tensor();
    const double loss = terms(by_row_ ? row_log_ratio.data() : nullptr,
                              o_.row_means ? row_share.data() : nullptr, through);
    if (by_row_) spread(through);
    count_sides();
    return at::scalar_tensor(loss, t_.logprobs.options());
  }

  const Tensor& gradient() const { return gradient_; }
  const PolicySums& sums() const { return sums_; }

 private:
  template <class Body>
  void for_live(const Body& body) const {
    for (int64_t i = 0; i < n_; ++i) {
      if (weight_[i] != 0) body(i, static_cast<size_t>(row_[i]));
    }
  }
  double weight(int64_t i) const { return static_cast<double>(weight_[i]); }
  double total(size_t row) const { return weights_[row] == 0 ? 1.0 : weights_[row]; }

  struct LogRatio {
    double value;
    bool moves;  // with the token's log-prob
  };
  LogRatio log_ratio(int64_t i) const {
    const double x = old_ ? static_cast<double>(logprob_[i]) - static_cast<double>(old_[i]) : 0.0;
    if (o_.term != PolicyTerm::geometric) return {x, true};
    const bool good = advantage_[i] >= 0;
    const bool outside = good ? x > o_.high : x < o_.low;
    return {outside ? (good ? o_.high : o_.low) : x, !outside};
  }

  double terms(const float* row_log_ratio, const float* row_share, const Tensor& through) {
    const bool kl = o_.beta != 0 && t_.reference.defined();
    const kernels::PolicyNumbers numbers = numbers_of(o_);
    const int64_t blocks = (n_ + kBlock - 1) / kBlock;
    std::vector<kernels::PolicySums> parts(static_cast<size_t>(blocks));
    at::parallel_for(0, blocks, 8, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        const int64_t first = b * kBlock;
        const auto from = [&](const Tensor& x) { return x.defined() ? data(x) + first : nullptr; };
        const auto to = [&](const Tensor& x) {
          return x.defined() ? x.data_ptr<float>() + first : nullptr;
        };
        kernels::kernels().policy_terms({.logprob = from(t_.logprobs),
                                         .old = from(t_.old),
                                         .reference = kl ? from(t_.reference) : nullptr,
                                         .sampling = from(t_.sampling),
                                         .entropy = from(t_.entropy),
                                         .factor = from(t_.factor),
                                         .advantage = from(t_.advantage),
                                         .weight = from(t_.weight),
                                         .row = row_ + first,
                                         .row_log_ratio = row_log_ratio,
                                         .row_share = row_share},
                                        numbers, std::min(kBlock, n_ - first),
                                        {to(gradient_), to(through), to(side_)},
                                        &parts[static_cast<size_t>(b)]);
      }
    });
    const auto sum = [&](double kernels::PolicySums::*member) {
      double total = 0;
      for (const kernels::PolicySums& part : parts) total += part.*member;
      return total;
    };
    const auto scalar = [&](bool there, double value) {
      return there ? at::scalar_tensor(value, at::kDouble) : Tensor();
    };
    sums_.kl = scalar(kl, sum(&kernels::PolicySums::kl));
    sums_.k1 = scalar(kl, sum(&kernels::PolicySums::k1));
    sums_.k2 = scalar(kl, sum(&kernels::PolicySums::k2));
    sums_.k3 = scalar(kl, sum(&kernels::PolicySums::k3));
    sums_.entropy = scalar(t_.entropy.defined(), sum(&kernels::PolicySums::entropy));
    const double difference = sum(&kernels::PolicySums::difference);
    double largest = std::isnan(difference) ? difference : 0.0;  // a maximum passes a NaN by
    for (const kernels::PolicySums& part : parts)
      largest = std::max(largest, static_cast<double>(part.largest_difference));
    sums_.difference = scalar(t_.sampling.defined(), difference);
    sums_.largest_difference = scalar(t_.sampling.defined(), largest);
    return sum(&kernels::PolicySums::loss);
  }

  /// d mean / d logprob_i = w_i / sum w, where the log-ratio moves at all.
  void spread(const Tensor& through) {
    Rows into(weights_.size());
    const auto* flow = data(through);
    for_live([&](int64_t i, size_t r) { into[r] += static_cast<double>(flow[i]); });
    auto* gradient = gradient_.data_ptr<float>();
    for_live([&](int64_t i, size_t r) {
      if (log_ratio(i).moves) gradient[i] += static_cast<float>(into[r] * weight(i) / total(r));
    });
  }

  void count_sides() {
    Rows low(weights_.size()), high(low);
    const auto* side = data(side_);
    for_live([&](int64_t i, size_t r) {
      if (side[i] < 0) low[r] += weight(i);
      if (side[i] > 0) high[r] += weight(i);
    });
    double all_low = 0, all_high = 0, least = t_.rows > 0 ? 1 : 0, most = 0;
    for (size_t r = 0; r < low.size(); ++r) {
      all_low += low[r], all_high += high[r];
      least = std::min(least, low[r] / total(r)), most = std::max(most, high[r] / total(r));
    }
    const auto scalar = [](double value) { return at::scalar_tensor(value, at::kDouble); };
    sums_.low = scalar(all_low), sums_.high = scalar(all_high);
    sums_.least_low = scalar(least), sums_.most_high = scalar(most);
  }

  const PolicyTokens t_;
  const PolicyObjective& o_;
  const int64_t n_;
  const bool by_row_;
  const float *logprob_, *old_, *advantage_, *weight_;
  const int64_t* row_;
  Rows weights_;
  Tensor gradient_, side_;
  PolicySums sums_;
};

PolicyPass pass_over(const PolicyTokens& tokens, const PolicyObjective& objective) {
  if (const DeviceKernels* device = device_kernels(tokens.logprobs))
    return device->policy_pass(tokens, objective);
  Pass pass(tokens, objective);
  const Tensor loss = pass.run();
  return {loss, pass.gradient(), pass.sums()};
}

class PolicyLossFunction : public torch::autograd::Function<PolicyLossFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor&, const PolicyTokens& tokens,
                        const PolicyObjective& objective, PolicySums* sums) {
    const PolicyPass pass = pass_over(readable(tokens), objective);
    *sums = pass.sums;
    context->save_for_backward({pass.gradient});
    return pass.loss;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("policy_loss");
    return {gradients[0] * context->get_saved_variables()[0], {}, {}, {}};
  }
};

}  // namespace

PolicyLoss policy_loss(const PolicyTokens& tokens, const PolicyObjective& objective) {
  GUERDON_CHECK(has_float_kernel(tokens.logprobs),
                "policy_loss: log-probs must be float32, on a device that has kernels; the plain "
                "form takes others");
  GUERDON_CHECK(tokens.advantage.defined() && tokens.weight.defined() && tokens.row.defined(),
                "policy_loss: advantage, weight and row are needed");
  GUERDON_CHECK(objective.beta == 0 || tokens.reference.defined(), "policy_loss: beta is ",
                objective.beta, ", and there are no reference log-probs");
  GUERDON_CHECK(objective.divisor > 0, "policy_loss: the divisor must be positive, got ",
                objective.divisor);
  PolicyLoss out;
  out.loss = PolicyLossFunction::apply(tokens.logprobs, tokens, objective, &out.sums);
  return out;
}

}  // namespace guerdon::ops
