/// Arithmetic on the weights of trained models.
#pragma once

#include <filesystem>
#include <vector>

namespace guerdon::model {

/// A model folder, and its weight in the sum.
struct WeightedFolder {
  std::filesystem::path path;
  double weight = 1.0;
};

/// theta = sum over the models of weight x theta_i, tensor by tensor and in double precision.
/// {1 - a, a} of two models is from + a (to - from): their mean at a = 0.5; beyond 1 it goes on
/// past the second one (ExPO, arXiv:2404.16792; HelpSteer2-Preference, arXiv:2410.01257, with a
/// = 1.52 from the regression on ratings to the Bradley-Terry model that began there).
///
/// Names, shapes and kinds of the models must be the same. Types of the tensors, config.json,
/// tokenizer and chat template are those of the last one. Throws Error: Kind::input for models that
/// do not fit together, Kind::stopped when a value is not finite.
void combine_models(const std::vector<WeightedFolder>& models, const std::filesystem::path& output);

}  // namespace guerdon::model
