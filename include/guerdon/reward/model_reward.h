/// A trained reward model as a reward.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "guerdon/base/settings.h"
#include "guerdon/reward/reward.h"

namespace guerdon {

/// The score that a reward model's folder (or run) gives to prompt and response, encoded as in its
/// training: with its own tokenizer and chat template, whoever wrote the response. A score does not
/// depend on what is judged beside it. A head of several outputs gives them as components. A text
/// that is longer than the model's table of positions is a failure, unless it may be truncated.
class ModelReward final : public Reward {
 public:
  struct Options {
    std::string path;
    int64_t batch_tokens = 16384;  ///< of one forward pass
    bool bf16 = false;
    bool truncate =
        false;  ///< a text past the positions loses its beginning, but for the first token
    std::vector<double> weights = {};  ///< of a head's outputs in the score; empty: the model's own
  };
  /// Throws Error (Kind::input) for a folder that is no reward model.
  explicit ModelReward(const Options& options);
  ~ModelReward() override;
  Scores score(const RewardBatch& batch) override;

 private:
  struct Loaded;
  Options options_;
  std::unique_ptr<Loaded> loaded_;
};

void describe(SettingList& field, ModelReward::Options& options);

}  // namespace guerdon
