#include "guerdon/ops/scan.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "guerdon/base/error.h"
#include "inputs.h"

namespace guerdon::ops {
namespace {

constexpr int64_t kTokens = int64_t{1} << 12;  // a thread's share at least

/// Contiguous, of float64: what recurrences are added in. On the CPU, unless the device has
/// kernels.
Tensor wide(const Tensor& x) {
  const at::Device device = device_kernels(x) ? x.device() : at::Device(at::kCPU);
  return x.detach().to(device, at::kDouble).contiguous();
}

/// The tokens where wide() puts the numbers.
ScanTokens beside(const Tensor& x, const ScanTokens& tokens) {
  return {tokens.offsets.to(x.device()).contiguous(),
          tokens.mask.defined() ? tokens.mask.to(x.device()).contiguous() : Tensor()};
}

void check(const char* who, const Tensor& x, const Tensor& other, const ScanTokens& tokens) {
  GUERDON_CHECK(x.dim() == 1 && x.sizes() == other.sizes() && at::isFloatingType(x.scalar_type()) &&
                    other.scalar_type() == x.scalar_type(),
                who, ": ", x.sizes(), " ", x.scalar_type(), " and ", other.sizes(), " ",
                other.scalar_type(), " must be alike");
  const Tensor& offsets = tokens.offsets;
  GUERDON_CHECK(offsets.dim() == 1 && offsets.size(0) > 0 && offsets.scalar_type() == at::kLong,
                who, ": offsets must be [S + 1] int64, got ", offsets.sizes());
  const Tensor plain = offsets.to(at::kCPU).contiguous();
  const auto* first = plain.const_data_ptr<int64_t>();
  GUERDON_CHECK(first[0] == 0 && first[plain.size(0) - 1] == x.size(0) &&
                    std::is_sorted(first, first + plain.size(0)),
                who, ": offsets must rise from 0 to ", x.size(0));
  GUERDON_CHECK(!tokens.mask.defined() ||
                    (tokens.mask.sizes() == x.sizes() && tokens.mask.scalar_type() == at::kBool),
                who, ": the mask must be ", x.sizes(), " bool");
}

/// Calls begin(sequence), then step(token) for its live tokens from the last to the first.
template <class Sequence>
void backwards(const ScanTokens& tokens, const Sequence& sequence) {
  const auto* first = tokens.offsets.const_data_ptr<int64_t>();
  const auto* counts = tokens.mask.defined() ? tokens.mask.const_data_ptr<bool>() : nullptr;
  const int64_t sequences = tokens.offsets.size(0) - 1, all = first[sequences];
  const int64_t grain = std::max<int64_t>(1, kTokens * sequences / std::max<int64_t>(all, 1));
  at::parallel_for(0, sequences, grain, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      auto step = sequence(s);
      for (int64_t t = first[s + 1]; t-- > first[s];) {
        if (!counts || counts[t]) step(t);
      }
    }
  });
}

}  // namespace

Tensor discounted_scan(const Tensor& given_b, const Tensor& given_a, const ScanTokens& given) {
  check("discounted_scan", given_b, given_a, given);
  const Tensor b = wide(given_b), a = wide(given_a);
  const ScanTokens tokens = beside(b, given);
  if (const DeviceKernels* device = device_kernels(b))
    return device->discounted_scan(b, a, tokens).to(given_b.scalar_type());
  const auto *add = b.const_data_ptr<double>(), *times = a.const_data_ptr<double>();
  Tensor out = at::zeros_like(b);
  auto* y = out.data_ptr<double>();
  backwards(tokens, [&](int64_t) {
    return [=, next = 0.0](int64_t t) mutable { y[t] = next = add[t] + times[t] * next; };
  });
  return out.to(given_b.options());
}

Tensor reward_to_go(const Tensor& rewards, const ScanTokens& tokens, double gamma) {
  return discounted_scan(rewards, at::full_like(rewards, gamma), tokens);
}

Gae gae(const Tensor& given_rewards, const Tensor& given_values, const ScanTokens& given,
        const GaeOptions& o) {
  check("gae", given_rewards, given_values, given);
  const int64_t sequences = given.offsets.size(0) - 1;
  GUERDON_CHECK(
      !o.bootstrap.defined() || (o.bootstrap.dim() == 1 && o.bootstrap.size(0) == sequences),
      "gae: bootstrap values for ", sequences, " sequences are needed");
  const Tensor rewards = wide(given_rewards), values = wide(given_values),
               bootstrap = o.bootstrap.defined() ? wide(o.bootstrap) : Tensor();
  const ScanTokens tokens = beside(rewards, given);
  if (const DeviceKernels* device = device_kernels(rewards)) {
    const Gae out = device->gae(rewards, values, tokens, {o.gamma, o.lambda, bootstrap});
    return {out.advantage.to(given_rewards.scalar_type()),
            out.returns.to(given_rewards.scalar_type())};
  }
  const auto *r = rewards.const_data_ptr<double>(), *v = values.const_data_ptr<double>();
  const auto* last = bootstrap.defined() ? bootstrap.const_data_ptr<double>() : nullptr;
  const double gamma = o.gamma, decay = o.gamma * o.lambda;
  Tensor advantage = at::zeros_like(rewards), returns = at::zeros_like(rewards);
  auto *a = advantage.data_ptr<double>(), *sum = returns.data_ptr<double>();
  backwards(tokens, [&](int64_t s) {
    return [=, next_value = last ? last[s] : 0.0, next = 0.0](int64_t t) mutable {
      const double delta = r[t] + gamma * next_value - v[t];
      a[t] = next = delta + decay * next;
      sum[t] = next + v[t];
      next_value = v[t];
    };
  });
  const at::TensorOptions options = given_rewards.options();
  return {.advantage = advantage.to(options), .returns = returns.to(options)};
}

}  // namespace guerdon::ops
