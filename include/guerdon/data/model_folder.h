/// Which files a user means who names a model.
#pragma once

#include <filesystem>

namespace guerdon::data {

/// A model as a user names it: a model folder, a run folder (its model/ is meant), or either with a
/// LoRA adapter in place of a model.
struct ModelPath {
  std::filesystem::path folder;   ///< with config.json: weights, tokenizer
  std::filesystem::path adapter;  ///< what is to be merged into it when it is loaded; mostly empty
};

/// An adapter's model is the one that its adapter_config.json names (base_model_name_or_path, a
/// folder or a run). Throws Error (Kind::input) when no config.json is found, or an adapter's model
/// is not there.
ModelPath find_model(const std::filesystem::path& path);

/// The same where no adapter can be taken (training, merging). Throws Error (Kind::input) for one,
/// too.
std::filesystem::path model_folder(const std::filesystem::path& path);

/// The folder or file whose tokenizer and chat template are meant: of a run or an adapter its
/// model's; anything else is taken as it is.
std::filesystem::path tokenizer_path(const std::filesystem::path& path);

}  // namespace guerdon::data
