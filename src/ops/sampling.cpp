#include "guerdon/ops/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <ATen/Parallel.h>

#include "guerdon/base/error.h"

namespace guerdon::ops {
namespace {

/// Marks in `kept` the tokens that top-k, top-p and min-p leave, in this order. z are the tempered
/// logits, p their softmax.
void restrict_to(const SamplingOptions& o, std::span<const float> z, std::span<const double> p,
                 std::vector<char>& kept) {
  const size_t vocabulary = z.size();
  kept.assign(vocabulary, 1);
  const bool use_top_k = o.top_k > 0 && static_cast<size_t>(o.top_k) < vocabulary;
  if (use_top_k || o.top_p < 1.0) {
    std::vector<int32_t> order(vocabulary);
    std::iota(order.begin(), order.end(), 0);
    // Descending, the lower id first among equals.
    const auto before = [&](int32_t a, int32_t b) {
      const float za = z[static_cast<size_t>(a)], zb = z[static_cast<size_t>(b)];
      return za != zb ? za > zb : a < b;
    };
    size_t count = vocabulary;
    if (use_top_k) {
      count = static_cast<size_t>(o.top_k);
      std::nth_element(order.begin(), order.begin() + static_cast<ptrdiff_t>(count) - 1,
                       order.end(), before);
      order.resize(count);
    }
    std::sort(order.begin(), order.end(), before);
    if (o.top_p < 1.0) {
      double total = 0;
      for (const int32_t id : order) total += p[static_cast<size_t>(id)];
      double mass = 0;
      for (size_t i = 0; i < order.size(); ++i) {
        mass += p[static_cast<size_t>(order[i])];
        if (mass >= o.top_p * total) {
          count = i + 1;
          break;
        }
      }
      order.resize(std::min(count, order.size()));
    }
    kept.assign(vocabulary, 0);
    for (const int32_t id : order) kept[static_cast<size_t>(id)] = 1;
  }
  if (o.min_p > 0.0) {
    double highest = 0;
    for (size_t i = 0; i < vocabulary; ++i) highest = std::max(highest, kept[i] ? p[i] : 0.0);
    for (size_t i = 0; i < vocabulary; ++i) kept[i] = kept[i] && p[i] >= o.min_p * highest;
  }
}

}  // namespace

Sampled sample_tokens(const Tensor& logits, std::span<const double> uniforms,
                      const LogitTransform& transform, const SamplingOptions& options) {
  GUERDON_CHECK(logits.dim() == 2 && logits.size(1) > 0,
                "sample_tokens: logits must be [N, V], got ", logits.sizes());
  GUERDON_CHECK(static_cast<int64_t>(uniforms.size()) == logits.size(0),
                "sample_tokens: ", uniforms.size(), " uniforms for ", logits.size(0), " rows");
  const int64_t rows = logits.size(0), vocabulary = logits.size(1);
  const bool greedy = options.temperature <= 1e-5;
  const double temperature = greedy ? 1.0 : options.temperature;
  const bool restricted = !greedy && ((options.top_k > 0 && options.top_k < vocabulary) ||
                                      options.top_p < 1.0 || options.min_p > 0.0);

  Tensor x = logits.detach().to(at::kFloat);
  if (transform.scale != 1.0) x = x * transform.scale;
  if (transform.softcap > 0) x = at::tanh(x / transform.softcap) * transform.softcap;
  if (temperature != 1.0) x = x / temperature;
  x = x.contiguous();
  const Tensor lse = x.logsumexp(-1);

  Sampled out{at::empty({rows}, at::kLong), at::empty({rows}, at::kFloat)};
  const float* z_all = x.const_data_ptr<float>();
  const float* lse_all = lse.const_data_ptr<float>();
  auto* token = out.token.data_ptr<int64_t>();
  auto* logprob = out.logprob.data_ptr<float>();
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    std::vector<double> p(static_cast<size_t>(vocabulary));
    std::vector<char> kept;
    for (int64_t row = begin; row < end; ++row) {
      const std::span<const float> z(z_all + row * vocabulary, static_cast<size_t>(vocabulary));
      size_t chosen = 0;
      if (greedy) {
        chosen = static_cast<size_t>(std::max_element(z.begin(), z.end()) - z.begin());
      } else {
        for (size_t i = 0; i < z.size(); ++i)
          p[i] = std::exp(static_cast<double>(z[i] - lse_all[row]));
        if (restricted) {
          restrict_to(options, z, p, kept);
          for (size_t i = 0; i < z.size(); ++i) p[i] = kept[i] ? p[i] : 0.0;
        }
        const double target =
            uniforms[static_cast<size_t>(row)] * std::accumulate(p.begin(), p.end(), 0.0);
        double mass = 0;
        for (size_t i = 0; i < p.size(); ++i) {
          if (p[i] <= 0) continue;
          chosen = i;  // the last token with mass, should rounding leave the target above the sum
          mass += p[i];
          if (mass > target) break;
        }
      }
      token[row] = static_cast<int64_t>(chosen);
      logprob[row] = z[chosen] - lse_all[row];
    }
  });
  return out;
}

}  // namespace guerdon::ops
