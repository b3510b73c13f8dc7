/// A model that gives a response a number: a decoder or encoder with a scalar head.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "guerdon/model/encoder.h"
#include "guerdon/model/pretrained.h"

namespace guerdon::model {

/// score = head . pooled hidden state. The head is float32 whatever the body computes in.
class RewardModel final : public torch::nn::Module {
 public:
  /// The head is not initialised. A head has a bias where the family's *ForSequenceClassification
  /// has one (BERT).
  RewardModel(std::shared_ptr<Backbone> body, Pooling pooling);

  /// One score per row of the batch, [rows] float32. A row's score does not depend on the others.
  Tensor scores(const PackedBatch& batch);

  Backbone& body() { return *body_; }
  const Backbone& body() const { return *body_; }
  Pooling pooling() const { return pooling_; }
  const data::ModelConfig& config() const { return body_->config(); }
  /// Tokens of the longest sequence that it takes, where positions are learned; otherwise nothing.
  std::optional<int64_t> position_limit() const;
  const Tensor& head_weight() const { return head_weight_; }  ///< [1, hidden]
  const Tensor& head_bias() const { return head_bias_; }      ///< [1], or undefined

 private:
  std::shared_ptr<Backbone> body_;
  Pooling pooling_;
  Tensor head_weight_, head_bias_;
};

struct RewardLoadOptions {
  LoadOptions load;
  /// A model without a head gets a new one (normal, initializer_range): for training. Otherwise it
  /// is refused.
  bool new_head = false;
  uint64_t seed = 0;  ///< of the new head
  std::optional<Pooling>
      pooling;  ///< default: decoders the last token; encoders what the folder says (its own key,
                ///< sentence-transformers' 1_Pooling), else the pooler
};

/// From a model folder or a run folder: a *ForSequenceClassification model with one label, or with
/// `new_head` any model. Throws Error (Kind::input), also when the head has more than one label. On
/// the meta device shapes are compared, and no weight is read.
std::shared_ptr<RewardModel> load_reward_model(const std::filesystem::path& path,
                                               const RewardLoadOptions& options = {});

/// Saves as the family's *ForSequenceClassification, whose scores in Transformers are the same (an
/// encoder that pools by cls or mean has no class there: it is saved as the bare body with a head
/// beside it). With `probe` rows the saved folder is opened again and its scores are compared, bit
/// for bit when saved in float32, before it takes the place of an older one. Throws Error
/// (Kind::surroundings) when they differ.
void save_reward_model(RewardModel& model, const std::filesystem::path& folder,
                       const SaveOptions& options = {}, const PackedBatch* probe = nullptr);
/// The same into a folder that is being made, beside other files; verify_saved() is the caller's.
void write_reward_model(NewFolder& folder, const RewardModel& model,
                        const SaveOptions& options = {});

/// Opens `folder` and compares its scores of the probe rows with the model's: equal bits, or within
/// `tolerance` (relative to 1 + |score|) when it is above 0. Throws Error (Kind::surroundings).
void verify_saved(const std::filesystem::path& folder, RewardModel& model, const PackedBatch& probe,
                  double tolerance = 0.0);

}  // namespace guerdon::model
