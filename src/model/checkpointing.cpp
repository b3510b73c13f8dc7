#include "model/checkpointing.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace guerdon::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Checkpointed : torch::autograd::Function<Checkpointed> {
  struct Body : torch::CustomClassHolder {
    std::function<Tensor(const Tensor&)> call;
    variable_list parameters;
  };

  // The parameters are arguments so that their gradients are this function's to give.
  static Tensor forward(AutogradContext* context, const Tensor& x, at::TensorList parameters,
                        c10::intrusive_ptr<Body> body) {
    context->save_for_backward({x});
    body->parameters = parameters.vec();
    const Tensor y = body->call(x);
    context->saved_data["body"] = c10::IValue::make_capsule(std::move(body));
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto body =
        c10::static_intrusive_pointer_cast<Body>(context->saved_data["body"].toCapsule());
    const Tensor saved = context->get_saved_variables()[0];
    const bool x_needs = context->needs_input_grad(0);
    const Tensor x = saved.detach().requires_grad_(x_needs);
    Tensor y;
    {
      at::AutoGradMode enabled(true);
      y = body->call(x);
    }
    variable_list inputs = body->parameters;
    if (x_needs) inputs.insert(inputs.begin(), x);
    variable_list out = torch::autograd::grad({y}, inputs, {gradients[0]}, false, false, true);
    if (!x_needs) out.insert(out.begin(), Tensor());
    out.emplace_back();  // of `body`
    return out;
  }
};

}  // namespace

Tensor checkpointed(std::function<Tensor(const Tensor&)> body, const Tensor& x,
                    const std::vector<Tensor>& parameters) {
  if (!at::GradMode::is_enabled() || (parameters.empty() && !x.requires_grad())) return body(x);
  auto holder = c10::make_intrusive<Checkpointed::Body>();
  holder->call = std::move(body);
  return Checkpointed::apply(x, at::TensorList(parameters), holder);
}

}  // namespace guerdon::model
