/// Reward models on stored vectors: a small head over features, or the likeness of two of them.
#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "guerdon/base/file.h"
#include "guerdon/base/settings.h"
#include "guerdon/ops/tensor.h"

namespace guerdon::model {

/// Cosine of each pair of rows, [..., D] x [..., D] -> [...]; 0 where a vector has no length.
Tensor cosine(const Tensor& a, const Tensor& b);

/// A direction without what a similarity reward likes too much (D2-Align, arXiv:2512.24146): with
/// norm(x) = x / |x|,
///
///     e+ = norm(e + b)    e- = norm(e - b)    result = e- + omega (e+ - e-)
///
/// `e` is [..., D], `b` [D]. b = 0 gives norm(e) whatever omega is; omega = 1 gives e+, 0 gives e-.
Tensor corrected_direction(const Tensor& e, const Tensor& b, double omega);

/// What is made of the vectors.
///
///     head         r = w_L . f(... f(W_1 h + b_1)) + b_L, h the response's vector (BaseReward,
///                  arXiv:2509.16127: two layers, SiLU)
///     similarity   r = s cos(P(x), Q(y)), x the prompt's vector and y the response's;
///                  P(x) = x + a network of `layers` layers, Q likewise; 0 layers: x itself
struct FeatureShape {
  std::string form = "head";
  int64_t layers = 2;               ///< head: 1 (linear) to 5; similarity: 0 to 5
  int64_t hidden = 0;               ///< width of the layers in between; 0: that of the vectors
  std::string activation = "silu";  ///< none, tanh, relu, silu or gelu
  double scale = 10.0;              ///< s at the beginning; it is trained
};
void describe(SettingList& field, FeatureShape& shape);

/// The direction P(x) is replaced by corrected_direction(norm(P(x)), b, omega). The score is the
/// cosine with that; without `renormalize` the product of the unit vector norm(Q(y)) and it.
struct Correction {
  double omega = 1.5;
  bool renormalize = true;
};
void describe(SettingList& field, Correction& correction);

class FeatureModel final : public torch::nn::Module {
 public:
  /// New weights: normal, by seed and name alone; what `similarity` adds to a vector begins small.
  /// Throws Error (Kind::settings) for a shape that there is not.
  FeatureModel(const FeatureShape& shape, int64_t width, uint64_t seed);

  /// Vectors that a row has: 1, its response's; of `similarity` 2, its prompt's comes first.
  int64_t vectors() const { return shape_.form == "head" ? 1 : 2; }
  /// [rows, vectors, width] -> [rows].
  Tensor scores(const Tensor& vectors) const;

  /// From now on corrected, with b = 0 if it was not before. Throws Error (Kind::settings) for a
  /// head, which has no direction.
  void correct(const Correction& correction);
  /// b [width]; undefined without a correction.
  const Tensor& bias_direction() const { return bias_direction_; }
  /// What is the same number in every score: the head's last bias; undefined for `similarity`.
  const Tensor& shift() const { return shift_; }

  const FeatureShape& shape() const { return shape_; }
  int64_t width() const { return width_; }
  const std::optional<Correction>& correction() const { return correction_; }

 private:
  struct Network;
  FeatureShape shape_;
  int64_t width_;
  std::shared_ptr<Network> head_, prompt_, response_;
  Tensor scale_, bias_direction_, shift_;
  std::optional<Correction> correction_;
};

/// Whether a folder, or the run's whose folder it is, holds such a model.
bool is_feature_model(const std::filesystem::path& path);

/// From its folder, or that of the run that made it. Throws Error (Kind::input).
std::shared_ptr<FeatureModel> load_feature_model(const std::filesystem::path& path);

/// config.json and model.safetensors.
void write_feature_model(NewFolder& folder, const FeatureModel& model);

}  // namespace guerdon::model
