/// A BERT-style encoder: bidirectional attention, learned positions, norms after the residual sums.
#pragma once

#include <memory>

#include "guerdon/model/backbone.h"

namespace guerdon::model {

/// How the hidden states of a sequence become one vector.
enum class Pooling {
  last,    ///< the last token's: decoders
  cls,     ///< the first token's
  mean,    ///< the mean over all tokens
  pooler,  ///< tanh of a dense layer over the first token's, as BERT's heads have it
};

/// BERT, RoBERTa and XLM-RoBERTa. Token types are all 0.
class Encoder final : public Backbone {
 public:
  /// Parameters are not initialised. `pooler`: with BERT's dense layer over the first token.
  explicit Encoder(const data::ModelConfig& config, const ModelOptions& options = {},
                   bool pooler = true);
  ~Encoder() override;

  /// The batch must share no prefixes. Throws Error (Kind::input) for a sequence longer than the
  /// table of positions, and for a token outside the vocabulary.
  Tensor forward(const PackedBatch& batch, const Tensor& rows = {}) override;
  bool shares_prefixes() const override { return false; }
  bool has_pooler() const;
  const data::EncoderConfig& shape() const { return *config_.encoder(); }

  /// tanh(dense(x)) of first-token states [rows, hidden].
  Tensor pooler(const Tensor& first);

 private:
  struct Layer;
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// One vector per row of the batch, [rows, hidden]. Only the positions that are needed go through
/// the last layer. Throws Error (Kind::bug) for `pooler` on a model without one.
Tensor pooled(Backbone& backbone, const PackedBatch& batch, Pooling pooling);

}  // namespace guerdon::model
