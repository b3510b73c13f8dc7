/// The tensors of a model folder, in one file or in shards: read by name, and written.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "guerdon/base/file.h"
#include "guerdon/model/tensor_file.h"
#include "guerdon/ops/tensor.h"

namespace guerdon::model {

class ModelTensors {
 public:
  /// Checks every header, and the index of a sharded folder. Throws Error (Kind::input); pickle
  /// files are refused.
  static ModelTensors of_folder(const std::filesystem::path& folder);
  static ModelTensors of_file(const std::filesystem::path& file);

  /// nullptr when there is none.
  const data::TensorEntry* find(const std::string& name) const;
  std::vector<std::string> names() const;
  /// A copy in its stored dtype. Throws Error (Kind::input) when that is no floating one.
  Tensor load(const std::string& name) const;
  /// The file, or the folder of several.
  const std::string& where() const { return where_; }

 private:
  void add(const std::filesystem::path& file, const data::ShardIndex& index);
  std::vector<TensorFile> files_;
  std::map<std::string, size_t> file_of_;
  std::string where_;
};

/// Writes the tensors as model.safetensors, or in shards of at most `shard_bytes` with their index,
/// all with Transformers' metadata. Throws Error (Kind::stopped) for a value that is not finite:
/// such a model is never saved.
void write_model_tensors(NewFolder& folder, const NamedTensors& tensors, int64_t shard_bytes);
/// The same as one file of this name.
void write_checked(NewFolder& folder, const std::string& name, const NamedTensors& tensors);

}  // namespace guerdon::model
