/// How much better a response is than its siblings.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "guerdon/ops/tensor.h"

namespace guerdon::loss {

enum class Scale {
  group,  ///< by the deviation inside the group (GRPO)
  batch,  ///< by the deviation over the whole batch
  none,   ///< not at all (Dr. GRPO)
};

/// "group", "batch" or "none". Throws Error (Kind::bug) for another word.
Scale scale_of(const std::string& name);

struct AdvantageOptions {
  Scale scale = Scale::group;
  double epsilon = 1e-4;  ///< added to the deviation, as in TRL
};

/// Group-relative advantages (Shao et al. 2024, arXiv:2402.03300): A = (r - mean of the group) /
/// (deviation + epsilon).
///
/// rewards [N]; `groups` offsets [P + 1]; deviation with divisor n - 1. A NaN reward is left out of
/// mean and deviation, and its advantage is 0; so is a group with a single scored row or with equal
/// rewards. `weight` [N] or undefined scales the advantage; a row of weight 0 is left out like a
/// NaN. Computed in float64; the result [N] has the dtype of `rewards`. Throws Error (Kind::bug)
/// when the groups do not cover the rows.
Tensor group_advantages(const Tensor& rewards, const Tensor& weight,
                        std::span<const int64_t> groups, const AdvantageOptions& options = {});

/// sum over k of weights[k] components[:, k], a NaN being skipped; NaN where every component is
/// one. components [N, K] -> [N]. A component of weight 0 neither counts nor makes a row scored.
Tensor weighted_total(const Tensor& components, const std::vector<double>& weights);

/// TRL's `normalize_then_sum` (GDPO): every component is normalised inside its group, the weighted
/// sum then over the batch. components [N, K] -> advantages [N]; `weight` as above.
Tensor normalize_then_sum(const Tensor& components, const std::vector<double>& weights,
                          const Tensor& weight, std::span<const int64_t> groups,
                          const AdvantageOptions& options = {});

/// Share of the groups whose scored rewards are all equal (or that have none): they teach nothing.
double zero_deviation_share(const Tensor& rewards, std::span<const int64_t> groups);

}  // namespace guerdon::loss
