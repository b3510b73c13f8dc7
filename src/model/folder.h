/// What loading and saving share between decoders, backbones and reward models.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "guerdon/model/pretrained.h"
#include "model/model_tensors.h"
#include "model/tensor_names.h"

namespace guerdon::model {

/// A family's classes in Transformers.
struct Classes {
  std::string body, causal, classifier;
};
Classes classes_of(const data::ModelConfig& config);

/// Whether the files hold BERT's pooler.
bool has_stored_pooler(const ModelTensors& files);

/// A number for a name, the same on every machine (FNV-1a).
uint64_t name_hash(const std::string& name);

/// Normal numbers in float32 that depend on the seed and the name alone.
Tensor normal_numbers(at::IntArrayRef shape, double deviation, uint64_t seed,
                      const std::string& name);

/// Heads of the body, for Layout::per_head.
int64_t heads_of(const data::ModelConfig& config);

/// Checks that `files` hold all of `stored` in the shapes that `parameters` have; throws Error
/// (Kind::input) with the first 10 that do not. `parameters` may be on the meta device: nothing is
/// allocated before the shapes are known to be right.
void check_tensors(const ModelTensors& files, const std::vector<StoredTensor>& stored,
                   const torch::nn::Module& module, const data::ModelConfig& config);
/// Copies them. Throws Error (Kind::input) for values that are not finite.
void copy_tensors(const ModelTensors& files, const std::vector<StoredTensor>& stored,
                  torch::nn::Module& module, const data::ModelConfig& config, bool allow_nonfinite);
/// A warning that lists tensors of the files that nobody asked for.
void warn_of_unexpected(const ModelTensors& files, const std::vector<StoredTensor>& stored,
                        const std::vector<std::string>& known);

/// The names under which `files` hold the body: without the prefix when the folder was saved from a
/// bare body.
std::vector<StoredTensor> names_in(const ModelTensors& files, const TensorNames& names);

/// The module's tensors under their stored names, in `dtype`.
NamedTensors stored_tensors(const std::vector<StoredTensor>& stored,
                            const torch::nn::Module& module, const data::ModelConfig& config,
                            at::ScalarType dtype);

/// config.json with the keys of the source and these in addition or in their place; null takes one
/// away.
std::string config_text(const data::ModelConfig& config, const Json& changes,
                        const SaveOptions& options);
/// Tokenizer, chat template and, with `generation`, generation_config.json from options.assets.
void copy_assets(NewFolder& folder, const SaveOptions& options, bool generation);

}  // namespace guerdon::model
