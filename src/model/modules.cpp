#include "model/modules.h"

#include <torch/csrc/autograd/custom_function.h>

#include "guerdon/base/error.h"
#include "guerdon/ops/linear.h"

namespace guerdon::model {
namespace {

// Gives `copy` in the forward pass; its gradient goes to `parameter`.
struct StraightCast : torch::autograd::Function<StraightCast> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& parameter,
                        const Tensor& copy) {
    context->saved_data["dtype"] = static_cast<int64_t>(parameter.scalar_type());
    return copy.view_as(copy);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto dtype = static_cast<at::ScalarType>(context->saved_data["dtype"].toInt());
    return {gradients[0].to(dtype), Tensor()};
  }
};

}  // namespace

Tensor CastCache::operator()(const Tensor& parameter, at::ScalarType dtype) {
  if (!parameter.defined() || parameter.scalar_type() == dtype) return parameter;
  if (!copy_.defined() || copy_.scalar_type() != dtype || source_ != parameter.const_data_ptr() ||
      version_ != parameter._version()) {
    copy_ = parameter.detach().to(dtype);
    source_ = parameter.const_data_ptr();
    version_ = parameter._version();
  }
  if (!at::GradMode::is_enabled() || !parameter.requires_grad()) return copy_;
  return StraightCast::apply(parameter, copy_);
}

Linear::Linear(int64_t out, int64_t in, bool with_bias, const at::TensorOptions& options)
    : weight(register_parameter("weight", at::empty({out, in}, options))) {
  if (with_bias) bias = register_parameter("bias", at::empty({out}, options));
}

Tensor Linear::forward(const Tensor& x) {
  const at::ScalarType dtype = x.scalar_type();
  const Tensor y = ops::linear(x, weight_cast_(weight, dtype), bias_cast_(bias, dtype));
  if (!active_) return y;
  return y +
         ops::linear(ops::linear(x, active_->a.to(dtype)), active_->b.to(dtype)) * active_->scale;
}

Linear::Adapter::Adapter(const Tensor& low, bool owns_a, const Tensor& high, double scale)
    : a(owns_a ? register_parameter("a", low) : low),
      b(register_parameter("b", high)),
      scale(scale) {}

void Linear::add_adapter(const std::string& name, std::shared_ptr<Adapter> adapter) {
  adapters_[name] = register_module("lora_" + name, std::move(adapter));
}

void Linear::remove_adapter(const std::string& name) {
  if (adapters_.erase(name) == 0) return;
  unregister_module("lora_" + name);
  active_ = nullptr;
}

std::shared_ptr<Linear::Adapter> Linear::adapter(const std::string& name) const {
  const auto at = adapters_.find(name);
  return at == adapters_.end() ? nullptr : at->second;
}

Tensor Linear::effective_weight() const {
  return active_
             ? weight + at::matmul(active_->b, active_->a).to(weight.scalar_type()) * active_->scale
             : weight;
}

NormLayer::NormLayer(data::Norm kind, int64_t size, double epsilon, double offset,
                     const at::TensorOptions& options)
    : weight(register_parameter("weight", at::empty({size}, options))),
      offset(offset),
      kind_(kind),
      epsilon_(epsilon) {
  if (kind == data::Norm::layer) bias = register_parameter("bias", at::empty({size}, options));
}

Tensor NormLayer::forward(const Tensor& x) {
  if (kind_ == data::Norm::rms) return ops::rms_norm(x, weight, epsilon_, offset);
  return at::layer_norm(x.to(weight.scalar_type()), {weight.size(0)}, weight, bias, epsilon_)
      .to(x.scalar_type());
}

ops::AddedNorm NormLayer::forward_sum(const Tensor& x, const Tensor& y) {
  if (kind_ == data::Norm::rms) return ops::add_rms_norm(x, y, weight, epsilon_, offset);
  const Tensor sum = x + y;
  return {.sum = sum, .norm = forward(sum)};
}

Embedding::Embedding(int64_t rows, int64_t size, const at::TensorOptions& options)
    : weight(register_parameter("weight", at::empty({rows, size}, options))) {}

Tensor Embedding::forward(const Tensor& ids, at::ScalarType compute) const {
  return ops::embedding(weight, ids).to(compute);
}

Tensor activate(data::Activation activation, const Tensor& x) {
  switch (activation) {
    case data::Activation::silu: return at::silu(x);
    case data::Activation::gelu: return at::gelu(x);
    case data::Activation::gelu_tanh: return at::gelu(x, "tanh");
    case data::Activation::relu: return at::relu(x);
  }
  GUERDON_CHECK(false, "activation ", static_cast<int>(activation));
}

void check_token_ids(const Tensor& ids, int64_t size, const std::string& where) {
  if (!ids.is_cpu() || ids.numel() == 0) return;
  const auto [low, high] = at::aminmax(ids);
  const int64_t worst = low.item<int64_t>() < 0 ? low.item<int64_t>() : high.item<int64_t>();
  if (worst < 0 || worst >= size)
    fail_input(where, str("token id ", worst, " is outside the vocabulary of ", size),
               "is the tokenizer the one that belongs to this model?");
}

std::vector<Tensor> trained_parameters(const torch::nn::Module& module) {
  std::vector<Tensor> out = module.parameters();
  std::erase_if(out, [](const Tensor& p) { return !p.requires_grad(); });
  return out;
}

int64_t longest(const Tensor& positions) {
  return positions.numel() == 0 ? 0 : positions.max().item<int64_t>() + 1;
}

}  // namespace guerdon::model
