/// The pieces that decoders and encoders are made of.
#pragma once

#include <torch/nn/module.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "guerdon/data/hf_config.h"
#include "guerdon/ops/layers.h"

namespace guerdon::model {

/// A parameter in another dtype. The copy is made again only when the parameter has changed (its
/// version counter says so), so a step of many micro-batches casts once; gradients arrive at the
/// parameter in its own dtype.
class CastCache {
 public:
  Tensor operator()(const Tensor& parameter, at::ScalarType dtype);

 private:
  Tensor copy_;
  const void* source_ = nullptr;
  uint32_t version_ = 0;
};

/// x W^T + b, and the low-rank adapter that is switched on (lora.h).
class Linear : public torch::nn::Module {
 public:
  Linear(int64_t out, int64_t in, bool bias, const at::TensorOptions& options);
  Tensor forward(const Tensor& x);

  /// y += scale B (A x). A [r, in] may belong to several projections that one stored tensor holds;
  /// the first of them owns it as a parameter.
  struct Adapter : torch::nn::Module {
    Adapter(const Tensor& a, bool owns_a, const Tensor& b, double scale);
    Tensor a, b;
    const double scale;
  };
  void add_adapter(const std::string& name, std::shared_ptr<Adapter> adapter);
  void remove_adapter(const std::string& name);
  /// nullptr when this layer has none of that name.
  std::shared_ptr<Adapter> adapter(const std::string& name) const;
  /// Switches to the adapter if this layer has it; "": none.
  void use(const std::string& name) { active_ = adapter(name); }
  /// The weight with the adapter in use added.
  Tensor effective_weight() const;

  Tensor weight, bias;

 private:
  CastCache weight_cast_, bias_cast_;
  std::map<std::string, std::shared_ptr<Adapter>> adapters_;
  std::shared_ptr<Adapter> active_;
};

/// RMSNorm or LayerNorm over the last dimension.
class NormLayer : public torch::nn::Module {
 public:
  NormLayer(data::Norm kind, int64_t size, double epsilon, double offset,
            const at::TensorOptions& options);
  Tensor forward(const Tensor& x);
  /// x + y and its norm.
  ops::AddedNorm forward_sum(const Tensor& x, const Tensor& y);

  Tensor weight, bias;
  const double offset;

 private:
  data::Norm kind_;
  double epsilon_;
};

/// A table of rows.
class Embedding : public torch::nn::Module {
 public:
  Embedding(int64_t rows, int64_t size, const at::TensorOptions& options);
  /// Rows of the table in the dtype `compute`.
  Tensor forward(const Tensor& ids, at::ScalarType compute) const;
  Tensor weight;
};

Tensor activate(data::Activation activation, const Tensor& x);

/// Throws Error (Kind::input) for an id outside [0, size): a tokenizer that is not the model's.
/// Looks at ids on the CPU only.
void check_token_ids(const Tensor& ids, int64_t size, const std::string& where);

/// The parameters of a module that need a gradient.
std::vector<Tensor> trained_parameters(const torch::nn::Module& module);

/// Largest position + 1, 0 for none.
int64_t longest(const Tensor& positions);

}  // namespace guerdon::model
