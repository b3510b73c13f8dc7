/// Log-probabilities of a batch's targets: only their source rows reach the LM head, and logits are
/// never stored whole.
#pragma once

#include "guerdon/model/decoder.h"

namespace guerdon::model {

/// Statistics of the targets under log softmax(z / temperature), one per target in their order.
/// Throws Error (Kind::bug) when the decoder has no LM head.
ops::TokenStats token_stats(Decoder& decoder, const PackedBatch& batch, double temperature = 1.0,
                            const ops::StatsRequest& request = {});

/// The log-probs alone, [n] float32.
Tensor logprobs(Decoder& decoder, const PackedBatch& batch, double temperature = 1.0);

}  // namespace guerdon::model
