#include "guerdon/model/logprobs.h"

namespace guerdon::model {

ops::TokenStats token_stats(Decoder& decoder, const PackedBatch& batch, double temperature,
                            const ops::StatsRequest& request) {
  const Tensor hidden = decoder.forward(batch, batch.targets.source);
  return ops::linear_token_stats(hidden, decoder.head_weight(), Tensor(), batch.targets.token,
                                 decoder.logit_transform(temperature), request);
}

Tensor logprobs(Decoder& decoder, const PackedBatch& batch, double temperature) {
  return token_stats(decoder, batch, temperature).logprob;
}

}  // namespace guerdon::model
