/// Gradients against central differences in double precision.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <vector>

namespace guerdon::test {

/// Fails the test where the gradient of `f` (a scalar of the float64 inputs) differs from central
/// differences by more than `tolerance`, absolute and relative.
inline void check_gradients(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& f,
                            std::vector<at::Tensor> inputs, double tolerance = 1e-6,
                            double step = 1e-5) {
  for (at::Tensor& input : inputs) input = input.detach().clone().set_requires_grad(true);
  const auto gradients = torch::autograd::grad({f(inputs)}, inputs, {}, false, false, true);
  const c10::NoGradGuard no_gradient;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const at::Tensor gradient =
        gradients[i].defined() ? gradients[i].contiguous() : at::zeros_like(inputs[i]);
    auto* values = inputs[i].data_ptr<double>();
    for (int64_t j = 0; j < inputs[i].numel(); ++j) {
      const double original = values[j];
      values[j] = original + step;
      const double above = f(inputs).item<double>();
      values[j] = original - step;
      const double below = f(inputs).item<double>();
      values[j] = original;
      const double expected = (above - below) / (2 * step), found = gradient.data_ptr<double>()[j];
      ASSERT_NEAR(found, expected, tolerance * std::max(1.0, std::abs(expected)))
          << "input " << i << ", element " << j;
    }
  }
}

}  // namespace guerdon::test
