/// A model that gives a response a number: a decoder or encoder with a head of one output, or of
/// several that make one score (readout.h).
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/data/encode.h"
#include "guerdon/model/encoder.h"
#include "guerdon/model/pretrained.h"
#include "guerdon/model/readout.h"

namespace guerdon::model {

/// How a response is shown to a reward model: kept with it.
struct Presentation {
  /// What the model is asked about a response (data::EncodeOptions::question), "" when it reads the
  /// response itself.
  std::string question = {};
  /// Process rewards: what divides a response into steps, each beginning of which gets a score
  /// (data
  /// ::step_beginnings); "": the whole alone is scored.
  std::string step_separator = {};
  std::string step_reduction = "min";  ///< how the steps' become one (math::reduce_steps)
};

/// outputs = head . pooled hidden state, [K]; the readout makes a score of them. The head is
/// float32 whatever the body computes in.
class RewardModel final : public torch::nn::Module {
 public:
  /// The head is not initialised. A head has a bias where the family's *ForSequenceClassification
  /// has one (BERT).
  RewardModel(std::shared_ptr<Backbone> body, Pooling pooling, Readout readout = {});

  /// All outputs of each row of the batch, [rows, K] float32. A row's do not depend on the others.
  Tensor outputs(const PackedBatch& batch) { return outputs_of(states(batch)); }
  /// What the head reads of each row: pooled hidden states, [rows, hidden] float32.
  Tensor states(const PackedBatch& batch);
  /// What it makes of them, [rows, K].
  Tensor outputs_of(const Tensor& states) const;
  /// One score per row, [rows] float32.
  Tensor scores(const PackedBatch& batch) { return score_of(outputs(batch)); }
  /// The scores that outputs [rows, K] make: [rows].
  Tensor score_of(const Tensor& outputs) const { return model::score_of(outputs, readout_); }

  Backbone& body() { return *body_; }
  const Backbone& body() const { return *body_; }
  const std::shared_ptr<Backbone>& shared_body() const { return body_; }
  Pooling pooling() const { return pooling_; }
  const data::ModelConfig& config() const { return body_->config(); }
  /// Tokens of the longest sequence that it takes, where positions are learned; otherwise nothing.
  std::optional<int64_t> position_limit() const;
  const Readout& readout() const { return readout_; }
  const Presentation& presentation() const { return presentation_; }
  void set_presentation(Presentation presentation) { presentation_ = std::move(presentation); }
  /// How rows become its tokens: a decoder's last one is the end, but for a question and for the
  /// beginnings of a solution; an encoder's tokenizer adds what its model wants.
  data::EncodeOptions encode_options() const;
  const Tensor& head_weight() const { return head_weight_; }  ///< [K, hidden]
  const Tensor& head_bias() const { return head_bias_; }      ///< [K], or undefined

 private:
  std::shared_ptr<Backbone> body_;
  Pooling pooling_;
  Readout readout_;
  Presentation presentation_;
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
  /// What is wanted: a new head gets it, one that is there must have the same outputs, and is
  /// called so; without weights they are the folder's, else equal ones that add up to 1. Nothing:
  /// one score; or what the folder has, when it says how its outputs make one.
  std::optional<Readout> readout = {};
  std::vector<double> weights = {};               ///< of the numbers in the score, not the folder's
  std::optional<MemberOptions> combination = {};  ///< of an ensemble's members, not the folder's
  /// Two texts, "Yes" and "No": a new head begins as the LM head's row of the first one's first
  /// token less that of the second's, so that the score is the difference of their logits (RLBFF,
  /// arXiv:2509.21319). Throws Error (Kind::input) for a model without an LM head, or whose logits
  /// are capped, and for texts that begin with the same token.
  std::vector<std::string> contrast = {};
  std::optional<Presentation> presentation = {};  ///< not the folder's
  bool merge_outputs = false;  ///< several outputs become one: the score that they make. Throws
                               ///< Error (Kind::input) where that is no weighted sum of them
  bool replace_head = false;   ///< a head that is there is left unread: there will be another
};

/// From a model folder or a run folder: a *ForSequenceClassification model, or with `new_head` any
/// model. Throws Error (Kind::input), also when the head has several outputs and nothing says how
/// they make one score. On the meta device shapes are compared, and no weight is read.
std::shared_ptr<RewardModel> load_reward_model(const std::filesystem::path& path,
                                               const RewardLoadOptions& options = {});
/// The model in `folder` with an adapter in use, whose head takes the place of the folder's, with
/// as many outputs as it has.
std::shared_ptr<RewardModel> load_adapted_reward_model(const std::filesystem::path& folder,
                                                       const std::filesystem::path& adapter,
                                                       const RewardLoadOptions& options = {},
                                                       const std::string& name = "default");

/// Reward models that are adapters of one model, which is in memory once: folders or runs. Each
/// has a head of its own; its adapter is called as member_names() says, and use_adapter() comes
/// before its outputs. Throws Error (Kind::input) for one that is no adapter, or of another model.
std::vector<std::shared_ptr<RewardModel>> load_adapted_ensemble(
    const std::vector<std::filesystem::path>& paths, const RewardLoadOptions& options = {});

/// Saves as the family's *ForSequenceClassification, whose scores in Transformers are the same (an
/// encoder that pools by cls or mean has no class there: it is saved as the bare body with a head
/// beside it). Several outputs are its labels, and how they make a score a key of our own in
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
