/// How the next token is chosen.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "guerdon/base/settings.h"
#include "guerdon/ops/sampling.h"

namespace guerdon::generate {

/// Named as in TRL and Transformers.
struct SamplingSettings {
  double temperature = 1.0;
  double top_p = 1.0;
  int64_t top_k = 0;
  double min_p = 0.0;
  double repetition_penalty = 1.0;
};

void describe(SettingList& field, SamplingSettings& settings);

/// Whether every token keeps its chance; otherwise the plain ratio of log-probs is biased.
bool full_vocabulary(const SamplingSettings& settings);

/// One token for each row of logits [N, V]. `seen[n]` are the ids of row n so far (prompt and
/// completion), for the repetition penalty of Keskar et al. (arXiv:1909.05858): a positive logit of
/// a seen id is divided by it, a negative one multiplied. The recorded log-prob is always that of
/// the whole vocabulary, before penalty and truncation.
ops::Sampled choose(const Tensor& logits, std::span<const double> uniforms,
                    const ops::LogitTransform& transform, const SamplingSettings& settings,
                    std::span<const std::vector<int64_t>> seen);

}  // namespace guerdon::generate
