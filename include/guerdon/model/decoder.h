/// One decoder for all families: Llama, Mistral, Qwen2, Qwen3, SmolLM3, GPT-2, GPT-NeoX, Gemma 1
/// to 3, Phi-3, OLMo 2.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "guerdon/model/backbone.h"
#include "guerdon/ops/attention.h"
#include "guerdon/ops/token_stats.h"

namespace guerdon::model {

/// Attention of layer `layer`: q [T, heads, D], k and v [T, kv_heads, D], after q/k norm and
/// rotation -> [T, heads, D]. Training attends within the packed batch; an engine writes k and v to
/// its cache and attends to that.
using Attend = std::function<Tensor(int64_t layer, const Tensor& q, const Tensor& k,
                                    const Tensor& v, const ops::AttentionOptions& options)>;

class Decoder final : public Backbone {
 public:
  /// Parameters are not initialised: load_decoder() or initialise() fills them. Without `lm_head`
  /// there is no head, as in a reward model. Throws Error (Kind::bug) when the configuration is not
  /// a decoder's.
  explicit Decoder(const data::ModelConfig& config, const ModelOptions& options = {},
                   bool lm_head = true);
  ~Decoder() override;

  Tensor forward(const PackedBatch& batch, const Tensor& rows = {}) override;
  /// The same code with another attention: tokens [T] and positions [T] int64. Throws Error
  /// (Kind::input) for a token outside the vocabulary and for a position that a table of learned
  /// positions does not have. `lengths` [T] int64, of each token's sequence, is looked at when
  /// follows_length(); undefined: all are as long as the longest, as in Transformers.
  Tensor forward(const Tensor& tokens, const Tensor& positions, const Attend& attend,
                 const Tensor& rows = {}, const Tensor& lengths = {});

  /// False for a model whose rotary frequencies follow the length of the sequence (`dynamic`,
  /// `longrope`): a shared prompt would have the frequencies of one response.
  bool shares_prefixes() const override;
  bool follows_length() const;
  const data::DecoderConfig& shape() const { return *config_.decoder(); }

  /// The LM head for ops::linear_token_stats and the engine: [V, hidden] in the compute dtype, the
  /// embedding's where tied. No family's head has a bias. Gradients reach the parameter.
  Tensor head_weight();
  bool has_head() const { return has_head_; }
  /// What turns the head's products into the model's logits, then divides by `temperature`.
  ops::LogitTransform logit_transform(double temperature = 1.0) const;

 private:
  struct Layer;
  struct Parts;
  Tensor embed(const Tensor& tokens, const Tensor& positions,
               const std::optional<SoftTokens>& soft);
  Tensor run(Tensor x, const Tensor& positions, const Attend& attend, const Tensor& rows,
             const Tensor& lengths);
  bool has_head_;
  std::unique_ptr<Parts> parts_;
};

/// Attention within a packed batch, for Decoder::forward.
Attend packed_attend(const std::vector<Segment>& segments);

}  // namespace guerdon::model
