#include "guerdon/optim/optimizer.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "guerdon/base/error.h"

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

void AdamW::step(double learning_rate) {
  const at::NoGradGuard no_grad;
  // One call for all tensors that share their rates.
  struct Lists {
    std::vector<Tensor> weights, gradients, first, second, steps;
  };
  std::map<std::tuple<at::ScalarType, double, double>, Lists> groups;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const auto& [name, parameter, group] = parameters_[i];
    if (!parameter.grad().defined()) continue;
    Lists& lists = groups[{parameter.scalar_type(), group.learning_rate_scale, group.weight_decay}];
    lists.weights.push_back(parameter.detach());
    lists.gradients.push_back(parameter.grad());
    lists.first.push_back(first_moment_[i]);
    lists.second.push_back(second_moment_[i]);
    lists.steps.push_back(steps_[i].add_(1.0));
  }
  for (auto& [key, lists] : groups) {
    const auto& [type, scale, decay] = key;
    at::_fused_adamw_(lists.weights, lists.gradients, lists.first, lists.second, {}, lists.steps,
                      learning_rate * scale, options_.adam_beta1, options_.adam_beta2, decay,
                      options_.adam_epsilon, /*amsgrad=*/false, /*maximize=*/false);
    // The operator does not count as a change of the weights; who keeps a copy of them (a model
    // that computes in bfloat16) goes by that count.
    for (const Tensor& weights : lists.weights) weights.unsafeGetTensorImpl()->bump_version();
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

namespace {

double square_sum(const Tensor& gradient) {
  const double norm = at::linalg_vector_norm(gradient, 2, {}, false, at::kDouble).item<double>();
  return norm * norm;
}

void scale(std::vector<Tensor>& gradients, double norm, double max_norm) {
  const double factor = max_norm / (norm + 1e-6);
  if (!(factor < 1.0)) return;  // also when the norm is NaN: the step will be skipped
  at::_foreach_mul_(gradients, factor);
}

}  // namespace

double gradient_norm(std::span<const Tensor> gradients) {
  double sum = 0.0;
  for (const Tensor& gradient : gradients) {
    if (gradient.defined()) sum += square_sum(gradient);
  }
  return std::sqrt(sum);
}

double clip_gradients(const AdamW& optimizer, double max_norm) {
  const at::NoGradGuard no_grad;
  const std::vector<Tensor> gradients = optimizer.gradients();
  struct Clipped {
    std::vector<Tensor> gradients;
    double sum = 0.0;
  };
  std::map<double, Clipped> groups;  // by the limit they share
  double sum = 0.0;
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const double own = optimizer.parameters()[i].group.max_grad_norm;
    Clipped& group = groups[std::isnan(own) ? -1.0 : own];
    group.gradients.push_back(gradients[i]);
    const double square = square_sum(gradients[i]);
    group.sum += square;
    sum += square;
  }
  for (auto& [own, group] : groups) {
    const double limit = own < 0.0 ? max_norm : own;
    if (limit > 0.0) scale(group.gradients, std::sqrt(group.sum), limit);
  }
  return std::sqrt(sum);
}

}  // namespace guerdon::optim
