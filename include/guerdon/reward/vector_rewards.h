/// Rewards that look at vectors, not at texts: stored beside the rows (guerdon/data/vectors.h), or
/// made from the texts by a model.
#pragma once

#include <memory>
#include <string>

#include "guerdon/base/settings.h"
#include "guerdon/model/embedder.h"
#include "guerdon/reward/reward.h"

namespace guerdon {

namespace detail {
class VectorSource;
}

/// The score of a model that `train features` made. A vector that the row names ("response_vector",
/// "prompt_vector") is read; one that it does not is made by the embedder, as `guerdon embed` made
/// those of the training: what a policy writes has no stored vector. Without an embedder such a row
/// fails.
class FeatureReward final : public Reward {
 public:
  struct Options {
    std::string path;
    std::string embedder;
    model::EmbedderOptions embedding;
  };
  /// Throws Error: Kind::input for the folders, also when the embedder's vectors are of another
  /// width; Kind::settings without a path.
  explicit FeatureReward(const Options& options);
  ~FeatureReward() override;
  Scores score(const RewardBatch& batch) override;

 private:
  struct Loaded;
  std::unique_ptr<Loaded> loaded_;
};
void describe(SettingList& field, FeatureReward::Options& options);

/// (1 + cos(response, answer)) / 2, in [0, 1]; where a vector has no length 1/2 (the surrogate of
/// HARMO, arXiv:2510.05283, where no rule can tell). The answer's vector is the one that the row
/// names in "answer_vector", else made of its text in `field`; a row without either gives no
/// opinion.
class Similarity final : public Reward {
 public:
  struct Options {
    std::string field = "answer";
    std::string embedder;
    model::EmbedderOptions embedding;
  };
  explicit Similarity(const Options& options);
  ~Similarity() override;
  Scores score(const RewardBatch& batch) override;

 private:
  std::string field_;
  std::unique_ptr<detail::VectorSource> source_;
};
void describe(SettingList& field, Similarity::Options& options);

}  // namespace guerdon
