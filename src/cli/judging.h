/// What `score` and `eval` have in common: the reward that a flag names.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/data/source.h"
#include "guerdon/reward/registry.h"
#include "guerdon/text/tokenizer.h"

namespace guerdon::cli {

/// A reward from what a user writes: a model folder or run folder, a file of settings (the node
/// itself, or an object with a "reward", like the settings of `train grpo`), the node as JSON, or a
/// name ("truth"). `flag` stands in errors.
struct NamedReward {
  std::string name;  ///< what to call its score when it has no components
  std::unique_ptr<Reward> reward;
};
NamedReward open_reward(const std::string& text, const std::string& flag);

/// How a reward is asked: the same options everywhere.
struct JudgingArguments {
  std::string tokenizer;
  int64_t batch_size = 32;

  void add_to(CLI::App* command);
  /// What counts tokens, for rewards that ask for them; none unless the flag was given. A run's
  /// folder stands for its model's.
  std::optional<text::Tokenizer> open_tokenizer() const;
};

/// Rows [row, row + count) of the source, fewer at its end.
std::vector<Example> next_rows(const data::DataSource& source, int64_t row, int64_t count);

}  // namespace guerdon::cli
