/// AdamW over the trained parameters of a run, and the clipping of their gradients.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "guerdon/ops/tensor.h"
#include "guerdon/optim/parts.h"

namespace guerdon::optim {

/// A parameter that requires a gradient, by the name that Parts gives it ("policy.lm_head.weight").
struct Trained {
  std::string name;
  Tensor parameter;
  ParameterGroup group;
};

/// The trained parameters of everything that `object.parts(Parts&)` lists, in that order. A tensor
/// that two modules share is there once, under the first name.
std::vector<Trained> trained_parameters(const std::function<void(Parts&)>& parts);

/// Named as in TRL.
struct AdamWOptions {
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_epsilon = 1e-8;
  /// Of groups that name none of their own; biases and the weights of norms (all tensors of one
  /// dimension) are left out, as Transformers leaves them out.
  double weight_decay = 0.0;
};

/// The norm over all gradients, and the factor of each parameter's gradient (empty: 1).
struct Clipping {
  double norm = 0.0;
  std::vector<double> scales;
};

/// AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2), as torch.optim.AdamW counts:
///
///     p <- p (1 - lr wd);  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
///     p <- p - lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps)
///
/// Parameters are float32 (or float64), whatever the model computes in: they are the master
/// weights. Moments have their type. t counts for each parameter the steps in which it had a
/// gradient.
class AdamW {
 public:
  /// Throws Error (Kind::bug) for a parameter below float32.
  AdamW(std::vector<Trained> parameters, const AdamWOptions& options);

  /// One step with the parameters' gradients, read through `clipping`. Those without one stay as
  /// they are.
  void step(double learning_rate, const Clipping& clipping = {});
  void zero_grad();

  std::span<const Trained> parameters() const { return parameters_; }
  /// One for each parameter, undefined where there is none.
  std::vector<Tensor> gradients() const;
  /// Moments and step counts.
  void parts(Parts& parts);

 private:
  std::vector<Trained> parameters_;
  AdamWOptions options_;
  std::vector<Tensor> first_moment_, second_moment_, steps_;
};

/// Root of the sum of squares over all gradients, summed in float64; undefined ones count as 0.
/// NaN or infinite when one of them is.
double gradient_norm(std::span<const Tensor> gradients);

/// What clipping asks for, so that the norm of the gradients is at most `max_norm` (0: no limit):
/// the factor is max_norm / (norm + 1e-6), as in torch.nn.utils.clip_grad_norm_. A group that has a
/// max_grad_norm of its own is clipped by itself. The gradients stay as they are.
Clipping clipping_of(const AdamW& optimizer, double max_norm);

}  // namespace guerdon::optim
