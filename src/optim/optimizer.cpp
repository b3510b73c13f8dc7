#include "guerdon/optim/optimizer.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <cmath>
#include <map>
#include <set>

#include "guerdon/base/error.h"
#include "guerdon/ops/adamw.h"

namespace guerdon::optim {
namespace {

/// Lists the parameters that require a gradient; leaves everything else alone.
class TrainedList final : public Parts {
 public:
  void number(const std::string&, double&) override {}
  void integer(const std::string&, int64_t&) override {}
  void text(const std::string&, std::string&) override {}
  void rows(const std::string&, std::map<std::string, double>&) override {}
  void tensor(const std::string&, Tensor&) override {}
  void module(const std::string& name, torch::nn::Module& module,
              const ParameterGroup& group) override {
    for (const auto& item : module.named_parameters()) {
      const Tensor& parameter = item.value();
      if (!parameter.requires_grad() || !seen_.insert(parameter.unsafeGetTensorImpl()).second) {
        continue;
      }
      found.push_back({prefix_ + name + "." + item.key(), parameter, group});
    }
  }
  std::vector<Trained> found;

 private:
  void enter(const std::string& name) override { prefix_ += name + "."; }
  void leave() override {
    prefix_.pop_back();
    prefix_.erase(prefix_.rfind('.') + 1);
  }
  std::string prefix_;
  std::set<void*> seen_;
};

}  // namespace

std::vector<Trained> trained_parameters(const std::function<void(Parts&)>& parts) {
  TrainedList list;
  parts(list);
  return std::move(list.found);
}

AdamW::AdamW(std::vector<Trained> parameters, const AdamWOptions& options)
    : parameters_(std::move(parameters)), options_(options) {
  for (Trained& trained : parameters_) {
    const Tensor& p = trained.parameter;
    if (std::isnan(trained.group.weight_decay)) {
      trained.group.weight_decay = p.dim() < 2 ? 0.0 : options.weight_decay;
    }
    GUERDON_CHECK(p.scalar_type() == at::kFloat || p.scalar_type() == at::kDouble, "parameter ",
                  trained.name, " is ", p.scalar_type(), "; master weights are float32");
    first_moment_.push_back(at::zeros_like(p.detach()));
    second_moment_.push_back(at::zeros_like(p.detach()));
    steps_.push_back(at::zeros({}, p.options().dtype(at::kFloat).requires_grad(false)));
  }
}

void AdamW::step(double learning_rate, const Clipping& clipping) {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const auto& [name, parameter, group] = parameters_[i];
    if (!parameter.grad().defined()) continue;
    steps_[i].add_(1.0);
    ops::adamw_step(parameter.detach(), parameter.grad(), first_moment_[i], second_moment_[i],
                    {.learning_rate = learning_rate * group.learning_rate_scale,
                     .beta1 = options_.adam_beta1,
                     .beta2 = options_.adam_beta2,
                     .epsilon = options_.adam_epsilon,
                     .weight_decay = group.weight_decay,
                     .step = static_cast<int64_t>(steps_[i].item<float>()),
                     .gradient_scale = clipping.scales.empty() ? 1.0 : clipping.scales[i]});
  }
}

void AdamW::zero_grad() {
  for (const Trained& trained : parameters_) trained.parameter.mutable_grad() = Tensor();
}

std::vector<Tensor> AdamW::gradients() const {
  std::vector<Tensor> out;
  for (const Trained& trained : parameters_) out.push_back(trained.parameter.grad());
  return out;
}

void AdamW::parts(Parts& parts) {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const std::string& name = parameters_[i].name;
    parts.tensor(name + ".m", first_moment_[i]);
    parts.tensor(name + ".v", second_moment_[i]);
    parts.tensor(name + ".t", steps_[i]);
  }
}

double gradient_norm(std::span<const Tensor> gradients) {
  double sum = 0.0;
  for (const Tensor& gradient : gradients) {
    if (gradient.defined()) sum += ops::square_sum(gradient);
  }
  return std::sqrt(sum);
}

Clipping clipping_of(const AdamW& optimizer, double max_norm) {
  const std::vector<Tensor> gradients = optimizer.gradients();
  // Those that share a limit are clipped together; -1: the limit of all.
  const auto own_limit = [&](size_t i) {
    const double own = optimizer.parameters()[i].group.max_grad_norm;
    return std::isnan(own) ? -1.0 : own;
  };
  std::map<double, double> squares;
  double sum = 0.0;
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const double square = ops::square_sum(gradients[i]);
    squares[own_limit(i)] += square;
    sum += square;
  }
  Clipping out{.norm = std::sqrt(sum), .scales = std::vector<double>(gradients.size(), 1.0)};
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const double own = own_limit(i), limit = own < 0.0 ? max_norm : own;
    const double scale = limit / (std::sqrt(squares[own]) + 1e-6);
    // Not smaller either when the norm is NaN: the step will be skipped.
    if (limit > 0.0 && scale < 1.0) out.scales[i] = scale;
  }
  return out;
}

}  // namespace guerdon::optim
