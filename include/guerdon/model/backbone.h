/// What decoders and encoders have in common: packed tokens in, hidden states out.
#pragma once

#include <torch/nn/module.h>

#include <map>
#include <memory>
#include <string>

#include "guerdon/data/hf_config.h"
#include "guerdon/model/batch.h"
#include "guerdon/model/lora.h"

namespace guerdon::model {

/// How a model computes. Parameters keep their dtype (float32: master weights); `compute` is that
/// of the forward pass.
struct ModelOptions {
  at::ScalarType parameters = at::kFloat;
  at::ScalarType compute = at::ScalarType::Undefined;  ///< Undefined: the parameters'
  at::Device device = at::kCPU;
  bool checkpointing =
      false;  ///< keep only each layer's input, and run the layer again in the backward pass
};

/// A transformer without its task's head.
class Backbone : public torch::nn::Module {
 public:
  /// Hidden states after the final norm, [T, hidden], in the compute dtype. With `rows` [n] int64
  /// those of these packed positions only, [n, hidden]: the last layer then skips what the others
  /// would need.
  virtual Tensor forward(const PackedBatch& batch, const Tensor& rows = {}) = 0;

  /// Whether a prefix may be shared between sequences: a causal model's; never an encoder's, whose
  /// prompt depends on its response.
  virtual bool shares_prefixes() const = 0;

  const data::ModelConfig& config() const { return config_; }
  const ModelOptions& options() const { return options_; }
  int64_t hidden_size() const { return config_.hidden_size(); }
  /// Switches checkpointing or the compute dtype. Dtype and device of the parameters stay as they
  /// are.
  void set_options(const ModelOptions& options);

 protected:
  Backbone(data::ModelConfig config, const ModelOptions& options);
  at::TensorOptions tensor_options() const {
    return at::TensorOptions(options_.parameters).device(options_.device);
  }
  data::ModelConfig config_;
  ModelOptions options_;

 private:
  friend struct Adapters;  // of lora.cpp
  std::map<std::string, LoraOptions> adapters_;
  std::string active_adapter_;
};

/// A decoder without LM head, or an encoder (with or without pooler), as the configuration says;
/// parameters are not initialised.
std::shared_ptr<Backbone> make_backbone(const data::ModelConfig& config,
                                        const ModelOptions& options = {}, bool pooler = false);

}  // namespace guerdon::model
