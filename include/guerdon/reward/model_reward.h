/// A trained reward model as a reward.
#pragma once

#include <functional>
#include <memory>
#include <optional>
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
    std::string centroids = {};  ///< safetensors file of `guerdon eval probe`: tensors [K, hidden]
    std::optional<double> max_distance = {};  ///< from the nearest centroid; past it: weight 0
  };
  /// Throws Error (Kind::input) for a folder that is no reward model.
  explicit ModelReward(const Options& options);
  ~ModelReward() override;
  Scores score(const RewardBatch& batch) override;
  /// What the model's head reads of each response: pooled states [N, hidden] float32. Throws Error
  /// (Kind::input) at the row for one that cannot be judged.
  Tensor states(const RewardBatch& batch);

 private:
  struct Loaded;
  using Visit = std::function<void(const Tensor& rows, const Tensor& states)>;
  void each_pass(const RewardBatch& batch, Scores& scores, const Visit& visit);
  Options options_;
  std::unique_ptr<Loaded> loaded_;
};

void describe(SettingList& field, ModelReward::Options& options);

}  // namespace guerdon
