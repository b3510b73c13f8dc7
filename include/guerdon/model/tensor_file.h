/// Tensors in safetensors files.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "guerdon/base/file.h"
#include "guerdon/data/safetensors_header.h"
#include "guerdon/ops/tensor.h"

namespace guerdon::model {

/// A safetensors file, mapped and checked when opened. Throws Error (Kind::input).
class TensorFile {
 public:
  explicit TensorFile(const std::filesystem::path& file);

  const data::SafetensorsHeader& header() const { return header_; }
  const std::vector<data::TensorEntry>& entries() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  bool has(const std::string& name) const { return header_.find(name) != nullptr; }
  /// A copy of the tensor. Throws Error (Kind::input) when it is missing, or of a dtype that
  /// LibTorch does not have.
  Tensor load(const std::string& name) const;

 private:
  std::filesystem::path path_;
  MappedFile file_;
  data::SafetensorsHeader header_;
};

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// Writes the tensors, in this order, as the file NAME of a folder in the making. They may be
/// anywhere and of any strides. Throws Error: Kind::surroundings when writing fails.
void add_tensors(NewFolder& folder, const std::string& name, const NamedTensors& tensors,
                 const std::map<std::string, std::string>& metadata = {});

/// Bytes of all tensors.
int64_t bytes_of(const NamedTensors& tensors);

}  // namespace guerdon::model
