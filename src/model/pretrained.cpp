#include "guerdon/model/pretrained.h"

#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/model/lora.h"
#include "model/folder.h"

namespace guerdon::model {
namespace fs = std::filesystem;
namespace {

ModelOptions on_meta(ModelOptions options) {
  options.device = at::kMeta;
  return options;
}

}  // namespace

std::shared_ptr<Decoder> load_decoder(const fs::path& path, const LoadOptions& options) {
  const auto [folder, adapter] = data::find_model(path);
  const data::ModelConfig config = data::read_model_config(folder);
  if (config.decoder() == nullptr)
    fail_input(config.where, "a " + config.family + " model has no LM head (expected a decoder)");
  const ModelTensors files = ModelTensors::of_folder(folder);
  auto skeleton = std::make_shared<Decoder>(config, on_meta(options.model));
  const std::vector<StoredTensor> names = names_in(files, tensor_names(config, *skeleton));
  check_tensors(files, names, *skeleton, config);
  warn_of_unexpected(files, names, {"lm_head.weight"});
  if (options.model.device.is_meta()) return skeleton;

  auto decoder = std::make_shared<Decoder>(config, options.model);
  copy_tensors(files, names, *decoder, config, options.allow_nonfinite);
  if (!adapter.empty()) {
    load_adapter(*decoder, "default", adapter);
    merge_adapter(*decoder, "default");
  }
  return decoder;
}

std::shared_ptr<Backbone> load_backbone(const fs::path& path, const LoadOptions& options) {
  const fs::path folder = model_folder(path);
  const data::ModelConfig config = data::read_model_config(folder);
  const ModelTensors files = ModelTensors::of_folder(folder);
  const bool pooler = has_stored_pooler(files);
  const std::shared_ptr<Backbone> skeleton = make_backbone(config, on_meta(options.model), pooler);
  const std::vector<StoredTensor> names = names_in(files, tensor_names(config, *skeleton));
  check_tensors(files, names, *skeleton, config);

  const std::shared_ptr<Backbone> body = make_backbone(config, options.model, pooler);
  copy_tensors(files, names, *body, config, options.allow_nonfinite);
  warn_of_unexpected(files, names,
                     {"lm_head.weight", "score.weight", "classifier.weight", "classifier.bias"});
  return body;
}

std::shared_ptr<Decoder> new_decoder(const Json& config, const std::string& where, uint64_t seed,
                                     const ModelOptions& options) {
  const data::ModelConfig parsed = data::parse_model_config(config, where, Kind::settings);
  if (parsed.decoder() == nullptr)
    fail_settings(where, "a " + parsed.family + " model has no LM head (expected a decoder)");
  auto decoder = std::make_shared<Decoder>(parsed, options);
  initialise(*decoder, seed);
  return decoder;
}

void write_decoder(NewFolder& folder, const Decoder& decoder, const SaveOptions& options) {
  const data::ModelConfig& config = decoder.config();
  GUERDON_CHECK(decoder.has_head(), "save_decoder: this ", config.family, " has no LM head");
  write_model_tensors(
      folder, stored_tensors(tensor_names(config, decoder).tensors, decoder, config, options.dtype),
      options.shard_bytes);
  folder.add(
      "config.json",
      config_text(config, {{"architectures", Json::array({classes_of(config).causal})}}, options));
  copy_assets(folder, options, true);
}

void save_decoder(const Decoder& decoder, const fs::path& folder, const SaveOptions& options) {
  NewFolder out(folder);
  write_decoder(out, decoder, options);
  out.commit();
}

}  // namespace guerdon::model
