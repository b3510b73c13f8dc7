/// How much memory a pass through a model takes, from its shapes alone: what the layers of
/// decoder.cpp and encoder.cpp keep for their backward pass, and their largest temporaries. Made
/// for the CPU; a change of what a layer saves belongs here too (tests/train/memory_test.cpp
/// compares with runs).
#pragma once

#include <cstdint>

#include "guerdon/model/backbone.h"

namespace guerdon::model {

/// A packed batch as far as memory is concerned.
struct PassSize {
  int64_t tokens = 0;   ///< packed
  int64_t targets = 0;  ///< rows that the last layer gives: targets, or a reward model's responses
};

/// Bytes.
struct PassMemory {
  int64_t kept = 0;      ///< between forward and backward
  int64_t forward = 0;   ///< temporaries of the forward pass, at most at one time
  int64_t backward = 0;  ///< of the backward pass, gradients of parameters apart
};

/// Through the layers. `trains`: whether a graph is kept; without it nothing is. The model may be
/// on the meta device; which layers are trained or have an adapter is read from its parameters.
PassMemory layers_memory(const Backbone& body, const PassSize& size, bool trains);

/// Through the LM head to log-probs (ops::linear_token_stats): logits kept where they fit in its
/// workspace, else a chunk at a time.
PassMemory head_memory(const data::DecoderConfig& config, bool bf16, int64_t targets, bool trains);

/// Bytes of the parameters (shared ones once): all, those that are trained, and the largest trained
/// one alone.
struct ParameterMemory {
  int64_t all = 0, trained = 0, largest_trained = 0;
};
ParameterMemory parameter_memory(const torch::nn::Module& module);

}  // namespace guerdon::model
