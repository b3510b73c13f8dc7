#include "guerdon/model/feature_model.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/data/example.h"
#include "guerdon/data/model_folder.h"
#include "guerdon/model/tensor_file.h"
#include "model/folder.h"

namespace guerdon::model {
namespace fs = std::filesystem;
namespace {

constexpr const char* kType = "guerdon_features";
constexpr const char* kWeights = "model.safetensors";
constexpr double kLeastLength = 1e-8;
// A tower begins as little more than the vector itself.
constexpr double kTowerStart = 0.1;
constexpr int64_t kMaxLayers = 5;

const std::vector<std::string>& activations() {
  static const std::vector<std::string> names = {"none", "tanh", "relu", "silu", "gelu"};
  return names;
}

Tensor activated(const std::string& name, const Tensor& x) {
  if (name == "tanh") return at::tanh(x);
  if (name == "relu") return at::relu(x);
  if (name == "silu") return at::silu(x);
  if (name == "gelu") return at::gelu(x);
  return x;
}

Tensor unit(const Tensor& x) {
  return x / at::linalg_vector_norm(x, 2, -1, true).clamp_min(kLeastLength);
}

void check(const FeatureShape& s) {
  if (s.form != "head" && s.form != "similarity")
    fail_settings("form", "must be head or similarity, got " + show(s.form));
  const int64_t least = s.form == "head" ? 1 : 0;
  if (s.layers < least || s.layers > kMaxLayers)
    fail_settings("layers", str("of a ", s.form, " must lie in [", least, ", ", kMaxLayers,
                                "], got ", s.layers));
  const auto& known = activations();
  if (std::find(known.begin(), known.end(), s.activation) == known.end())
    fail_settings("activation", "there is no " + show(s.activation));
}

}  // namespace

Tensor cosine(const Tensor& a, const Tensor& b) { return (unit(a) * unit(b)).sum(-1); }

Tensor corrected_direction(const Tensor& e, const Tensor& b, double omega) {
  const Tensor plus = unit(e + b), minus = unit(e - b);
  return minus + omega * (plus - minus);
}

/// Layers of a linear map each, with an activation between two of them.
struct FeatureModel::Network : torch::nn::Module {
  Network(const FeatureShape& shape, int64_t width, int64_t outputs, double last_deviation,
          uint64_t seed, const std::string& name)
      : activation(shape.activation) {
    int64_t in = width;
    for (int64_t i = 0; i < shape.layers; ++i) {
      const bool last = i + 1 == shape.layers;
      const int64_t out = last ? outputs : shape.hidden > 0 ? shape.hidden : width;
      const std::string number = std::to_string(i);
      const double deviation = (last ? last_deviation : 1.0) / std::sqrt(static_cast<double>(in));
      weights.push_back(register_parameter(
          "weight" + number,
          normal_numbers({out, in}, deviation, seed, name + ".weight" + number)));
      biases.push_back(register_parameter("bias" + number, at::zeros({out})));
      in = out;
    }
  }

  Tensor forward(Tensor x) const {
    for (size_t i = 0; i < weights.size(); ++i)
      x = at::linear(i == 0 ? x : activated(activation, x), weights[i], biases[i]);
    return x;
  }

  std::string activation;
  std::vector<Tensor> weights, biases;
};

FeatureModel::FeatureModel(const FeatureShape& shape, int64_t width, uint64_t seed)
    : shape_(shape), width_(width) {
  check(shape_);
  GUERDON_CHECK(width > 0, "a feature model of vectors of ", width, " numbers");
  const auto network = [&](const char* name, int64_t outputs, double last_deviation) {
    return register_module(
        name, std::make_shared<Network>(shape_, width, outputs, last_deviation, seed, name));
  };
  if (shape_.form == "head") {
    head_ = network("head", 1, 1.0);
    shift_ = head_->biases.back();
    return;
  }
  if (shape_.layers > 0) {
    prompt_ = network("prompt", width, kTowerStart);
    response_ = network("response", width, kTowerStart);
  }
  scale_ = register_parameter("scale", at::full({1}, shape_.scale, at::kFloat));
}

void FeatureModel::correct(const Correction& correction) {
  if (shape_.form == "head")
    fail_settings("correction", "a head has no direction that could be corrected");
  correction_ = correction;
  if (!bias_direction_.defined())
    bias_direction_ = register_parameter("bias_direction", at::zeros({width_}));
}

Tensor FeatureModel::scores(const Tensor& vectors) const {
  GUERDON_CHECK(
      vectors.dim() == 3 && vectors.size(1) == this->vectors() && vectors.size(2) == width_,
      "feature model: vectors ", vectors.sizes(), ", expected [rows, ", this->vectors(), ", ",
      width_, "]");
  if (head_) return head_->forward(vectors.select(1, 0)).squeeze(-1);
  const Tensor x = vectors.select(1, 0), y = vectors.select(1, 1);
  const Tensor prompt = prompt_ ? x + prompt_->forward(x) : x;
  const Tensor response = response_ ? y + response_->forward(y) : y;
  if (!correction_) return scale_ * cosine(prompt, response);
  const Tensor direction = corrected_direction(unit(prompt), bias_direction_, correction_->omega);
  return scale_ * (correction_->renormalize ? cosine(direction, response)
                                            : (direction * unit(response)).sum(-1));
}

void describe(SettingList& field, FeatureShape& s) {
  field("form", s.form,
        "head: a network over the response's vector; similarity: how alike the prompt's and the "
        "response's vectors are",
        {.choices = {"head", "similarity"}});
  field("layers", s.layers,
        "Linear layers: of the head; or of what similarity adds to each vector (0: nothing)",
        {.min = 0, .max = static_cast<double>(kMaxLayers)});
  field("hidden", s.hidden, "Width of the layers in between; 0: that of the vectors", {.min = 0});
  field("activation", s.activation, "Between two layers", {.choices = activations()});
  field("scale", s.scale, "similarity: what the cosine is multiplied by at the beginning",
        {.above = 0.0});
}

void describe(SettingList& field, Correction& c) {
  field("omega", c.omega, "correction: how far past the corrected direction; 1 is that itself");
  field("renormalize", c.renormalize,
        "correction: the cosine with the direction that comes out, not the product with it");
}

// ---- folders

namespace {

/// Numbers in a network of the shape.
double size_of(const FeatureShape& shape, int64_t width, double outputs) {
  auto in = static_cast<double>(width);
  double out = 0;
  for (int64_t i = 0; i < shape.layers; ++i) {
    const double next = i + 1 == shape.layers ? outputs
                        : shape.hidden > 0    ? static_cast<double>(shape.hidden)
                                              : static_cast<double>(width);
    out += (in + 1) * next;
    in = next;
  }
  return out;
}

/// A small file must not make a large model. Up to a million numbers a difference is told tensor by
/// tensor.
void refuse_if_larger_than(const TensorFile& file, const FeatureShape& shape, int64_t width,
                           const std::string& where) {
  constexpr double kSmall = 1 << 20;
  const double asked = shape.form == "head" ? size_of(shape, width, 1)
                                            : 2 * size_of(shape, width, static_cast<double>(width));
  double there = 0;
  for (const data::TensorEntry& tensor : file.entries())
    there += static_cast<double>(tensor.elements());
  if (asked > kSmall && there < asked)
    fail_input(where, str("holds ", there, " numbers, config.json asks for ", asked));
}

}  // namespace

bool is_feature_model(const fs::path& path) {
  const fs::path folder = data::tokenizer_path(path);
  if (!fs::exists(folder / "config.json")) return false;
  const Json config = read_json(folder / "config.json");
  return config.is_object() && config.contains("model_type") && config["model_type"] == kType;
}

std::shared_ptr<FeatureModel> load_feature_model(const fs::path& path) {
  const fs::path folder = data::model_folder(path);
  const std::string where = (folder / "config.json").string();
  Json json = read_json(folder / "config.json");
  if (!json.is_object() || json.value("model_type", "") != kType)
    fail_input(where, "is no model of stored vectors", "guerdon train features makes one");
  const Fields config(std::move(json), where);
  const auto number = [&](const char* name, double most) {
    const double value = config.number(name);
    if (value != std::floor(value) || value < 0 || value > most)
      fail_input(where, str("field ", show(name), " must be a whole number up to ", most, ", got ",
                            value));
    return static_cast<int64_t>(value);
  };
  constexpr double kMaxWidth = 1 << 24;
  const FeatureShape shape{.form = config.text("form"),
                           .layers = number("layers", kMaxLayers),
                           .hidden = number("hidden", kMaxWidth),
                           .activation = config.text("activation")};
  const int64_t width = number("width", kMaxWidth);
  if (width == 0) fail_input(where, "field \"width\" must not be 0");
  const TensorFile file(folder / kWeights);
  refuse_if_larger_than(file, shape, width, (folder / kWeights).string());
  std::shared_ptr<FeatureModel> model;
  try {
    model = std::make_shared<FeatureModel>(shape, width, 0);
    if (config.has("omega"))
      model->correct(
          {.omega = config.number("omega"), .renormalize = config.boolean("renormalize")});
  } catch (const Error& e) {
    if (e.kind != Kind::settings) throw;
    fail_input(where, e.what());
  }
  const at::NoGradGuard no_grad;
  for (auto& item : model->named_parameters()) {
    const Tensor stored = file.load(item.key());
    const std::string tensor = (folder / kWeights).string() + ": tensor " + show(item.key());
    if (stored.sizes() != item.value().sizes() || stored.scalar_type() != at::kFloat)
      fail_input(tensor, ::guerdon::str("is ", stored.scalar_type(), " ", stored.sizes(),
                                        ", config.json asks for Float ", item.value().sizes()));
    if (!stored.isfinite().all().item<bool>()) fail_input(tensor, "is not finite");
    item.value().copy_(stored);
  }
  return model;
}

void write_feature_model(NewFolder& folder, const FeatureModel& model) {
  NamedTensors tensors;
  for (const auto& item : model.named_parameters()) tensors.emplace_back(item.key(), item.value());
  add_tensors(folder, kWeights, tensors);
  const FeatureShape& shape = model.shape();
  Json config = {{"model_type", kType},    {"form", shape.form},
                 {"width", model.width()}, {"layers", shape.layers},
                 {"hidden", shape.hidden}, {"activation", shape.activation}};
  if (const auto& correction = model.correction()) {
    config["omega"] = correction->omega;
    config["renormalize"] = correction->renormalize;
  }
  folder.add("config.json", config.dump(2) + "\n");
}

}  // namespace guerdon::model
