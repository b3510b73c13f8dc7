/// What may be done to the scores of a reward before they are used: the "transform" list of a node.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "guerdon/base/json_reader.h"
#include "guerdon/optim/parts.h"

namespace guerdon {

class Transform {
 public:
  virtual ~Transform() = default;
  /// Scores in place; only those that were scored are here, so none is NaN. `measuring`: running
  /// statistics count these scores now, but are afterwards what they were.
  virtual void apply(std::span<double> scores, bool measuring) = 0;
  /// Running statistics, which must survive a resume.
  virtual void parts(Parts&) {}
};

/// From a list of nodes (or one): {"use": "clip", "min": -1, "max": 1}, {"use": "scale", "factor",
/// "offset"}, {"use": "sigmoid"},
/// {"use": "log_sigmoid"}, {"use": "center", "value"} (without a value: the running mean of all
/// scores so far, these included),
/// {"use": "standardize"} (running mean and deviation), {"use": "rating_log_probability", "rating",
/// "levels", "concentration", "edges"} (math::rating_probabilities). Throws Error (Kind::settings);
/// `path` names the list in errors.
std::vector<std::unique_ptr<Transform>> make_transforms(const Json& list, const std::string& where,
                                                        const std::string& path);

}  // namespace guerdon
