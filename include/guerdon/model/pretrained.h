/// Model folders: Hugging Face's config.json and safetensors, read and written.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "guerdon/base/file.h"
#include "guerdon/base/json_reader.h"
#include "guerdon/data/model_folder.h"
#include "guerdon/model/decoder.h"
#include "guerdon/model/encoder.h"

namespace guerdon::model {

struct LoadOptions {
  ModelOptions model;
  bool allow_nonfinite = false;  ///< otherwise a weight that is not finite is an error
};

struct SaveOptions {
  at::ScalarType dtype = at::kFloat;  ///< of the body's tensors; a reward head is always float32
  int64_t shard_bytes = int64_t{5} << 30;  ///< larger models are cut into shards
  std::filesystem::path assets;  ///< folder whose tokenizer, chat template and generation_config
                                 ///< are copied; may be empty
  std::optional<int64_t>
      pad_token_id;  ///< written to config.json; Transformers needs one to score batches
};

using data::model_folder;

/// A decoder with its LM head, from a model folder or a run folder; an adapter's model has the
/// adapter merged, and its weights are frozen. Throws Error (Kind::input): a
/// tensor is missing or has another shape than config.json says (all of them, the first 10 named),
/// is not finite, or is a pickle. Unexpected tensors are a warning. On the meta device shapes are
/// compared, and no weight is read.
std::shared_ptr<Decoder> load_decoder(const std::filesystem::path& path,
                                      const LoadOptions& options = {});

/// A decoder or an encoder without its task's head. An encoder has its pooler when the folder has
/// it.
std::shared_ptr<Backbone> load_backbone(const std::filesystem::path& path,
                                        const LoadOptions& options = {});

/// A new decoder with random weights: `config` is what a config.json holds. Errors are
/// Kind::settings and start with `where`.
std::shared_ptr<Decoder> new_decoder(const Json& config, const std::string& where, uint64_t seed,
                                     const ModelOptions& options = {});

/// Fills all parameters as Transformers does: normal with the configuration's initializer_range
/// (GPT-2's projections into the residual stream divided by sqrt(2 layers)), biases 0, norms 1. A
/// parameter's numbers depend on the seed and its name alone.
void initialise(Backbone& body, uint64_t seed);

/// Saves as a folder that Transformers loads, all there or not there, replacing an older one. An
/// adapter in use is merged into what is saved. Throws Error (Kind::surroundings) for the disk,
/// Kind::stopped for weights that are not finite.
void save_decoder(const Decoder& decoder, const std::filesystem::path& folder,
                  const SaveOptions& options = {});
/// The same into a folder that is being made, beside other files.
void write_decoder(NewFolder& folder, const Decoder& decoder, const SaveOptions& options = {});

}  // namespace guerdon::model
