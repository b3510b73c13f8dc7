#include "guerdon/ops/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "guerdon/base/error.h"
#include "inputs.h"
#include "logit_rows.h"
#include "row_stats.h"

namespace guerdon::ops {
namespace {

using kernels::kernels;

constexpr float kNone = -std::numeric_limits<float>::infinity();

/// A set of tokens that is a prefix of the descending order, the lower id first among equals: all
/// above `z`, and of those equal to it the ids up to `id`.
struct Prefix {
  float z = kNone;
  int64_t id = std::numeric_limits<int64_t>::max();
  bool holds(float value, int64_t index) const { return value > z || (value == z && index <= id); }
};

/// One row on its way to a token.
class Row {
 public:
  Row(const kernels::LogitRow& row, int64_t vocabulary, float lse) : z_(size(vocabulary)), p_(z_) {
    for (int64_t begin = 0; begin < vocabulary; begin += kLogitSlice) {
      const int64_t count = std::min(kLogitSlice, vocabulary - begin);
      kernels().logit_values(row, begin, count, z_.data() + begin);
    }
    kernels().probabilities(z_.data(), vocabulary, lse, p_.data());
    top_ = *std::max_element(z_.begin(), z_.end());
  }

  /// Marks what top-k, top-p and min-p leave, in this order.
  void restrict_to(const SamplingOptions& o) {
    const auto vocabulary = static_cast<int64_t>(z_.size());
    double mass = 1.0;
    if (o.top_k > 0 && o.top_k < vocabulary) {
      kept_ = prefix(static_cast<double>(o.top_k), true);
      mass = mass_of(kept_);
    }
    if (o.top_p < 1.0) {
      const Prefix nucleus = prefix(o.top_p * mass, false);
      if (nucleus.z > kept_.z || (nucleus.z == kept_.z && nucleus.id < kept_.id)) kept_ = nucleus;
    }
    if (o.min_p > 0.0) {
      const double least = static_cast<double>(top_) + std::log(o.min_p);
      // The largest float below `least`: what equals it or lies above stays.
      auto bound = static_cast<float>(least);
      if (static_cast<double>(bound) >= least) bound = std::nextafter(bound, kNone);
      if (bound >= kept_.z) kept_ = {bound, -1};
    }
  }

  /// What restrict_to() left, in id order.
  std::vector<int32_t> kept() const {
    std::vector<int32_t> out;
    for (size_t i = 0; i < z_.size(); ++i) {
      if (kept_.holds(z_[i], static_cast<int64_t>(i))) out.push_back(static_cast<int32_t>(i));
    }
    return out;
  }

  /// The token at `u` of the kept tokens' mass, in id order; the mass into `kept`.
  int64_t draw(double u, float* kept) const {
    const auto vocabulary = static_cast<int64_t>(z_.size());
    std::vector<double> masses;
    double total = 0;
    for (int64_t begin = 0; begin < vocabulary; begin += kLogitSlice) {
      masses.push_back(mass_of(kept_, begin, std::min(kLogitSlice, vocabulary - begin)));
      total += masses.back();
    }
    *kept = static_cast<float>(std::min(total, 1.0));
    const double target = u * total;
    double mass = 0;
    int64_t chosen =
        -1;  // the last token with mass, should rounding leave the target above the sum
    for (size_t s = 0; s < masses.size(); ++s) {
      const bool last = mass + masses[s] > target;
      if (last || masses[s] > 0) {
        const int64_t begin = static_cast<int64_t>(s) * kLogitSlice;
        double inside = mass;
        for (int64_t i = begin; i < std::min(begin + kLogitSlice, vocabulary); ++i) {
          if (p_[size(i)] <= 0 || !kept_.holds(z_[size(i)], i)) continue;
          chosen = i;
          inside += static_cast<double>(p_[size(i)]);
          if (last && inside > target) return i;
        }
        if (last) return chosen;
      }
      mass += masses[s];
    }
    return chosen;
  }

 private:
  static size_t size(int64_t i) { return static_cast<size_t>(i); }

  double mass_of(const Prefix& set, int64_t begin, int64_t count) const {
    int64_t number = 0;
    double mass = 0;
    kernels().above(z_.data() + begin, p_.data() + begin, count, set.z, &number, &mass);
    if (set.id < 0 || set.z == kNone) return mass;
    for (int64_t i = begin; i < begin + count && i <= set.id; ++i) {
      if (z_[size(i)] == set.z) mass += static_cast<double>(p_[size(i)]);
    }
    return mass;
  }
  double mass_of(const Prefix& set) const {
    return mass_of(set, 0, static_cast<int64_t>(z_.size()));
  }

  /// The shortest prefix whose number or mass reaches `wanted`: bisection of the threshold until
  /// few tokens are in doubt, which are then sorted.
  Prefix prefix(double wanted, bool by_number) const {
    constexpr int64_t kFew = 256;
    const auto vocabulary = static_cast<int64_t>(z_.size());
    const auto reached = [&](float threshold, int64_t* number) {
      double mass = 0;
      kernels().above(z_.data(), p_.data(), vocabulary, threshold, number, &mass);
      return by_number ? static_cast<double>(*number) : mass;
    };
    // Above `high` too little, above `low` enough or everything.
    float high = top_, low = kNone;
    int64_t above_high = 0, above_low = vocabulary;
    double of_high = 0;
    float step = 4.0f;
    while (above_low - above_high > kFew) {
      const float middle = std::isinf(low) ? high - step : low + (high - low) / 2;
      if (middle >= high || middle <= low) break;  // equals alone are left
      step *= 2;
      int64_t number = 0;
      const double value = reached(middle, &number);
      if (value >= wanted) {
        low = middle, above_low = number;
      } else {
        if (std::isinf(low) && number == above_high && step > 1e6f) break;
        high = middle, above_high = number, of_high = value;
      }
    }
    std::vector<int64_t> doubtful;
    for (int64_t i = 0; i < vocabulary; ++i) {
      const float z = z_[size(i)];
      if (z <= high && z > low) doubtful.push_back(i);
    }
    std::sort(doubtful.begin(), doubtful.end(), [&](int64_t a, int64_t b) {
      const float za = z_[size(a)], zb = z_[size(b)];
      return za != zb ? za > zb : a < b;
    });
    double sum = of_high;
    for (const int64_t i : doubtful) {
      sum += by_number ? 1.0 : static_cast<double>(p_[size(i)]);
      if (sum >= wanted) return {z_[size(i)], i};
    }
    return {low, std::isinf(low) ? std::numeric_limits<int64_t>::max() : -1};
  }

  std::vector<float> z_, p_;
  float top_ = kNone;
  Prefix kept_;
};

KeptTokens joined(const std::vector<std::vector<int32_t>>& sets) {
  std::vector<int64_t> offsets{0};
  std::vector<int32_t> ids;
  for (const std::vector<int32_t>& set : sets) {
    ids.insert(ids.end(), set.begin(), set.end());
    offsets.push_back(static_cast<int64_t>(ids.size()));
  }
  return {at::tensor(offsets, at::kLong), at::tensor(ids, at::kInt)};
}

}  // namespace

Sampled sample_tokens(const Tensor& logits, std::span<const double> uniforms,
                      const LogitTransform& transform, const SamplingOptions& options) {
  GUERDON_CHECK(static_cast<int64_t>(uniforms.size()) == logits.size(0),
                "sample_tokens: ", uniforms.size(), " uniforms for ", logits.size(0), " rows");
  const at::NoGradGuard no_gradient;
  const bool greedy = options.temperature <= 1e-5;
  LogitTransform tempered = transform;
  tempered.temperature = greedy ? 1.0 : options.temperature;
  const bool here = has_kernel(logits) && (logits.is_cpu() || !options.record_sets);
  const Tensor x = here ? logits : logits.to(at::kCPU, at::kFloat);
  check_logits("sample_tokens", x, tempered);
  const int64_t rows = x.size(0), vocabulary = x.size(1);
  // The sets themselves are made on the CPU.
  if (const DeviceKernels* device = device_kernels(x); device && !options.record_sets) {
    const Tensor u = at::tensor(at::ArrayRef<double>(uniforms.data(), uniforms.size()), at::kDouble)
                         .to(x.device());
    return device->sample_tokens(x, u, row_stats(x, {}, {}, tempered, {}).of.lse, tempered,
                                 options);
  }
  const RowStats stats = row_stats(x, {}, {}, tempered, {.argmax = greedy});
  const auto* lse = stats.of.lse.const_data_ptr<float>();

  Sampled out{greedy ? stats.of.argmax : at::empty({rows}, at::kLong),
              at::empty({rows}, at::kFloat), at::ones({rows}, at::kFloat)};
  auto* token = out.token.data_ptr<int64_t>();
  auto* logprob = out.logprob.data_ptr<float>();
  auto* kept = out.kept.data_ptr<float>();
  const LogitMatrix matrix(x, tempered);
  std::vector<std::vector<int32_t>> sets(options.record_sets ? static_cast<size_t>(rows) : 0);
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (!std::isfinite(lse[r])) {
        token[r] = -1, logprob[r] = lse[r];
        continue;
      }
      if (!greedy) {
        Row row(matrix[r], vocabulary, lse[r]);
        row.restrict_to(options);
        token[r] = row.draw(uniforms[static_cast<size_t>(r)], &kept[r]);
        if (options.record_sets) sets[static_cast<size_t>(r)] = row.kept();
      } else if (options.record_sets) {
        sets[static_cast<size_t>(r)] = {static_cast<int32_t>(token[r])};
      }
      float z = 0;
      kernels().logit_values(matrix[r], token[r], 1, &z);
      logprob[r] = std::min(z - lse[r], 0.0f);
    }
  });
  if (options.record_sets) out.sets = joined(sets);
  return out;
}

}  // namespace guerdon::ops
