/// What `score` and `eval` have in common: the reward that a flag names.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "guerdon/data/source.h"
#include "guerdon/reward/registry.h"

namespace guerdon::cli {

/// A reward from what a user writes: a model folder or run folder, a file of settings (the node
/// itself, or an object with a "reward", like the settings of `train grpo`), the node as JSON, or a
/// name ("truth"). `flag` stands in errors.
struct NamedReward {
  std::string name;  ///< what to call its score when it has no components
  std::unique_ptr<Reward> reward;
};
NamedReward open_reward(const std::string& text, const std::string& flag);

constexpr int64_t kBatchSize = 32;
/// --batch-size
void add_batch_size(CLI::App* command, int64_t& batch_size);
/// Rows [row, row + count) of the source, fewer at its end.
std::vector<Example> next_rows(const data::DataSource& source, int64_t row, int64_t count);

}  // namespace guerdon::cli
