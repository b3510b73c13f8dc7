/// A model that gives a response a number: a decoder or encoder with a head of one output, or of
/// several that make one score.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/model/encoder.h"
#include "guerdon/model/pretrained.h"

namespace guerdon::model {

/// What a head's outputs are called, and their weights in the score; as many of the one as of the
/// other.
struct HeadOutputs {
  std::vector<std::string> labels = {"LABEL_0"};
  std::vector<double> weights = {1.0};
};

/// outputs = head . pooled hidden state, [K]; score = weights . outputs. The head is float32
/// whatever the body computes in.
class RewardModel final : public torch::nn::Module {
 public:
  /// The head is not initialised. A head has a bias where the family's *ForSequenceClassification
  /// has one (BERT).
  RewardModel(std::shared_ptr<Backbone> body, Pooling pooling, HeadOutputs outputs = {});

  /// All outputs of each row of the batch, [rows, K] float32. A row's do not depend on the others.
  Tensor outputs(const PackedBatch& batch) { return outputs_of(states(batch)); }
  /// What the head reads of each row: pooled hidden states, [rows, hidden] float32.
  Tensor states(const PackedBatch& batch);
  /// What it makes of them, [rows, K].
  Tensor outputs_of(const Tensor& states) const;
  /// One score per row, [rows] float32.
  Tensor scores(const PackedBatch& batch) { return score_of(outputs(batch)); }
  /// The scores that outputs [..., K] make: [...].
  Tensor score_of(const Tensor& outputs) const;

  Backbone& body() { return *body_; }
  const Backbone& body() const { return *body_; }
  Pooling pooling() const { return pooling_; }
  const data::ModelConfig& config() const { return body_->config(); }
  /// Tokens of the longest sequence that it takes, where positions are learned; otherwise nothing.
  std::optional<int64_t> position_limit() const;
  const HeadOutputs& head() const { return head_; }
  const Tensor& head_weight() const { return head_weight_; }  ///< [K, hidden]
  const Tensor& head_bias() const { return head_bias_; }      ///< [K], or undefined

 private:
  std::shared_ptr<Backbone> body_;
  Pooling pooling_;
  HeadOutputs head_;
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
  /// The outputs that are wanted: a new head gets these, one that is there must have as many, and
  /// is called so. Empty: one; or what the folder has, when it says how they make a score.
  std::vector<std::string> labels = {};
  /// Of the outputs in the score. Empty: what the folder says, else equal ones that add up to 1
  /// where `labels` are given.
  std::vector<double> weights = {};
  bool merge_outputs = false;  ///< several outputs become one: the score that they make
};

/// From a model folder or a run folder: a *ForSequenceClassification model, or with `new_head` any
/// model. Throws Error (Kind::input), also when the head has several outputs and nothing says how
/// they make one score. On the meta device shapes are compared, and no weight is read.
std::shared_ptr<RewardModel> load_reward_model(const std::filesystem::path& path,
                                               const RewardLoadOptions& options = {});

/// Saves as the family's *ForSequenceClassification, whose scores in Transformers are the same (an
/// encoder that pools by cls or mean has no class there: it is saved as the bare body with a head
/// beside it). Several outputs are its labels, and the score's weights a key of our own in
/// config.json. With `probe` rows the saved folder is opened again and its scores are compared, bit
/// for bit when saved in float32, before it takes the place of an older one. Throws Error
/// (Kind::surroundings) when they differ.
void save_reward_model(RewardModel& model, const std::filesystem::path& folder,
                       const SaveOptions& options = {}, const PackedBatch* probe = nullptr);
/// The same into a folder that is being made, beside other files; verify_saved() is the caller's.
void write_reward_model(NewFolder& folder, const RewardModel& model,
                        const SaveOptions& options = {});

/// Opens `folder` and compares its outputs for the probe rows with the model's: equal bits, or
/// within `tolerance` (relative to 1 + |output|) when it is above 0. Throws Error
/// (Kind::surroundings).
void verify_saved(const std::filesystem::path& folder, RewardModel& model, const PackedBatch& probe,
                  double tolerance = 0.0);

}  // namespace guerdon::model
