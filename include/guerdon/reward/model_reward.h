/// A trained reward model as a reward.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/base/settings.h"
#include "guerdon/model/batch.h"
#include "guerdon/reward/reward.h"

namespace guerdon {

/// The score that a reward model's folder (or run) gives to prompt and response, encoded as in its
/// training: with its own tokenizer and chat template, whoever wrote the response. A score does not
/// depend on what is judged beside it. A head of several outputs gives the numbers that they make
/// as components, an ensemble its members' scores, with deviations where it knows them. A process
/// reward model scores each step, in [0, 1], and the note lists them; about a response without
/// steps it has no opinion. A text that is longer than the model's table of positions is a failure,
/// unless it may be truncated.
class ModelReward final : public Reward {
 public:
  struct Options {
    std::string path;
    /// More runs that are adapters of the same model as `path`: an ensemble on one body.
    std::vector<std::string> adapters = {};
    /// Two texts: `path` is a language model, and the score the difference of their logits after
    /// the question.
    std::vector<std::string> contrast = {};
    std::string question;             ///< asked about each response, in place of the model's own
    std::string step_reduction;       ///< of a process reward model, in place of its own
    std::string step_shape = "none";  ///< math::shape_steps, before they are reduced
    double step_eta = 0.5;
    int64_t batch_tokens = 16384;  ///< of one forward pass
    bool bf16 = false;
    bool truncate =
        false;  ///< a text past the positions loses its beginning, but for the first token
    std::vector<double> weights = {};  ///< of a head's numbers in the score; empty: the model's own
    std::string combine;  ///< of an ensemble, in place of its own; model::member_combinations()
    double deviation_weight = 1.0, nominal_weight = 0.5;  ///< of that
    std::string centroids = {};  ///< safetensors file of `guerdon eval probe`: tensors [K, hidden]
    std::optional<double> max_distance = {};  ///< from the nearest centroid; past it: weight 0
  };
  /// Throws Error: Kind::input for a folder that is no reward model, Kind::settings for a
  /// combination of what is no ensemble.
  explicit ModelReward(const Options& options);
  ~ModelReward() override;
  Scores score(const RewardBatch& batch) override;
  /// What the model's head reads of each response: pooled states [N, hidden] float32, of a solution
  /// in steps the last step's. Throws Error (Kind::input) at the row for one that cannot be judged.
  Tensor states(const RewardBatch& batch);

 private:
  struct Loaded;
  /// Whose sequences they are, and the sequences.
  using Visit = std::function<void(const std::vector<int64_t>& rows, const PackedBatch& pass)>;
  void each_pass(const RewardBatch& batch, Scores& scores, const Visit& visit);
  void fit(std::vector<int64_t>& ids) const;
  void score_steps(const Tensor& logits, const std::vector<int64_t>& rows, Scores& out) const;
  Options options_;
  std::unique_ptr<Loaded> loaded_;
};

void describe(SettingList& field, ModelReward::Options& options);

}  // namespace guerdon
