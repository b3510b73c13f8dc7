#include "model/model_tensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/json_reader.h"

namespace guerdon::model {
namespace fs = std::filesystem;
namespace {

std::string shard_name(size_t index, size_t count) {
  char text[64];
  std::snprintf(text, sizeof text, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return text;
}

}  // namespace

void ModelTensors::add(const fs::path& file, const data::ShardIndex& index) {
  files_.emplace_back(file);
  data::check_shard(index, file.filename().string(), files_.back().header(), file.string());
  for (const data::TensorEntry& tensor : files_.back().entries())
    file_of_[tensor.name] = files_.size() - 1;
}

ModelTensors ModelTensors::of_folder(const fs::path& folder) {
  const data::ShardIndex index = data::read_shard_index(folder);
  ModelTensors out;
  for (const std::string& file : index.files) out.add(folder / file, index);
  out.where_ = index.files.size() == 1 ? (folder / index.files[0]).string() : folder.string();
  return out;
}

ModelTensors ModelTensors::of_file(const fs::path& file) {
  ModelTensors out;
  out.add(file, {});
  out.where_ = file.string();
  return out;
}

const data::TensorEntry* ModelTensors::find(const std::string& name) const {
  const auto at = file_of_.find(name);
  return at == file_of_.end() ? nullptr : files_[at->second].header().find(name);
}

std::vector<std::string> ModelTensors::names() const {
  std::vector<std::string> out;
  for (const auto& [name, file] : file_of_) out.push_back(name);
  return out;
}

Tensor ModelTensors::load(const std::string& name) const {
  const auto at = file_of_.find(name);
  GUERDON_CHECK(at != file_of_.end(), "tensor ", name, " is not there");
  const Tensor tensor = files_[at->second].load(name);
  if (!tensor.is_floating_point())
    fail_input(where_ + ": tensor " + show(name),
               "has dtype " + find(name)->dtype + ", a weight needs one of BF16, F16, F32, F64");
  return tensor;
}

void write_checked(NewFolder& folder, const std::string& name, const NamedTensors& tensors) {
  for (const auto& [tensor_name, tensor] : tensors) {
    if (at::isfinite(tensor).all().item<bool>()) continue;
    const auto count = at::isfinite(tensor).logical_not().sum().item<int64_t>();
    fail_stopped("saving",
                 str("tensor ", show(tensor_name), " has ", count, " values that are not finite"));
  }
  NamedTensors sorted = tensors;
  // Wide elements first, so that each tensor is aligned in the mapped file.
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.second.element_size() > b.second.element_size();
  });
  add_tensors(folder, name, sorted, {{"format", "pt"}});
}

void write_model_tensors(NewFolder& folder, const NamedTensors& tensors, int64_t shard_bytes) {
  std::vector<NamedTensors> shards(1);
  int64_t size = 0;
  for (const auto& named : tensors) {
    const int64_t bytes = bytes_of({named});
    if (size > 0 && size + bytes > shard_bytes) {
      shards.emplace_back();
      size = 0;
    }
    shards.back().push_back(named);
    size += bytes;
  }
  if (shards.size() == 1) {
    write_checked(folder, "model.safetensors", tensors);
    return;
  }
  Json weight_map = Json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string file = shard_name(i, shards.size());
    write_checked(folder, file, shards[i]);
    for (const auto& named : shards[i]) weight_map[named.first] = file;
  }
  const Json index = {{"metadata", {{"total_size", bytes_of(tensors)}}},
                      {"weight_map", weight_map}};
  folder.add("model.safetensors.index.json", index.dump(2) + "\n");
}

}  // namespace guerdon::model
