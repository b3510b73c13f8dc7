/// A trained reward model as a reward.
#pragma once

#include <memory>
#include <string>

#include "guerdon/base/settings.h"
#include "guerdon/reward/reward.h"

namespace guerdon {

/// The score that a reward model's folder (or run) gives to prompt and response, encoded as in its
/// training: with its own tokenizer and chat template, whoever wrote the response. A score does not
/// depend on what is judged beside it. A response that is longer than the model's table of
/// positions is a failure.
class ModelReward final : public Reward {
 public:
  struct Options {
    std::string path;
    int64_t batch_tokens = 16384;  ///< of one forward pass
    bool bf16 = false;
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
