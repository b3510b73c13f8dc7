/// `Parts` is to state what settings are to configuration: one list, many visitors (save, load,
/// count for `plan`, "did every trainable tensor move", replay).
#pragma once

#include <limits>
#include <string>

#include "guerdon/base/plain_parts.h"
#include "guerdon/ops/tensor.h"

namespace torch::nn {
class Module;
}

namespace guerdon {

/// How the parameters of a module are trained.
struct ParameterGroup {
  double learning_rate_scale = 1.0;
  double weight_decay = std::numeric_limits<double>::quiet_NaN();  ///< NaN: the run's
  double max_grad_norm =
      std::numeric_limits<double>::quiet_NaN();  ///< NaN: the run's, over all groups together
  /// Parameters that require no gradient but change all the same (a moving reference): stored in
  /// checkpoints. The other frozen ones are only compared on resume.
  bool moving = false;
};

/// A visitor of all state, tensors included.
class Parts : public PlainParts {
 public:
  /// A tensor that is state but no parameter. `value` may be replaced when loading.
  virtual void tensor(const std::string& name, Tensor& value) = 0;
  /// A module: parameters that require a gradient are trained, the others (and buffers) are state
  /// that is not.
  virtual void module(const std::string& name, torch::nn::Module& module,
                      const ParameterGroup& group = {}) = 0;

  /// The parts of a member whose `parts` takes this visitor.
  template <class Object>
  void nested(const std::string& name, Object& object) {
    enter(name);
    object.parts(*this);
    leave();
  }
};

}  // namespace guerdon
