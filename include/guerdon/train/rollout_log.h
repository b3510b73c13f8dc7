/// What online methods say about a collect: numbers for metrics.jsonl, rows for samples.jsonl.
#pragma once

#include <span>
#include <vector>

#include "guerdon/base/json_reader.h"
#include "guerdon/generate/rollout.h"
#include "guerdon/reward/reward.h"
#include "guerdon/train/algorithm.h"

namespace guerdon::train {

/// TRL's names: reward, reward_std, frac_reward_zero_std, rewards/NAME/mean and /std of each
/// component, completions/mean_length and so on (in tokens; "terminated" are those that ended by
/// themselves; clipped_ratio is the share that did not), and the reward's own counts. `groups` are
/// offsets [groups + 1].
std::vector<Metric> rollout_metrics(std::span<const Rollout> rollouts,
                                    std::span<const int64_t> groups, const Scores& scores);

/// The metric of that name. Throws Error (Kind::bug) when there is none.
double value_of(const std::vector<Metric>& metrics, const std::string& name);

/// A row for the eye: id, prompt, completion, tokens, finish_reason.
Json sample_row(const Rollout& rollout);

/// The same with what rollout `index` earned: reward, rewards of the components, note.
Json sample_row(const Rollout& rollout, const Scores& scores, int64_t index);

}  // namespace guerdon::train
