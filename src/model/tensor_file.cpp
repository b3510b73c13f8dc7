#include "guerdon/model/tensor_file.h"

#include <ATen/ATen.h>

#include <cstring>

#include "guerdon/base/error.h"

namespace guerdon::model {
namespace {

constexpr std::pair<const char*, at::ScalarType> kTypes[] = {
    {"F32", at::kFloat}, {"BF16", at::kBFloat16}, {"F16", at::kHalf},  {"F64", at::kDouble},
    {"I64", at::kLong},  {"I32", at::kInt},       {"I16", at::kShort}, {"I8", at::kChar},
    {"U8", at::kByte},   {"BOOL", at::kBool},
};

const char* name_of(at::ScalarType type) {
  for (const auto& [name, known] : kTypes) {
    if (known == type) return name;
  }
  GUERDON_CHECK(false, "safetensors has no type for ", type);
}

}  // namespace

TensorFile::TensorFile(const std::filesystem::path& file)
    : path_(file),
      file_(file),
      header_(data::read_safetensors_header(file_.bytes(), file.string())) {}

Tensor TensorFile::load(const std::string& name) const {
  const std::string where = path_.string() + ": tensor " + show(name);
  const data::TensorEntry* entry = header_.find(name);
  if (!entry) fail_input(where, "is missing");
  for (const auto& [type_name, type] : kTypes) {
    if (entry->dtype != type_name) continue;
    Tensor tensor = at::empty(entry->shape, type);
    if (entry->bytes() > 0) {
      std::memcpy(tensor.mutable_data_ptr(), file_.bytes().data() + entry->begin, entry->bytes());
    }
    return tensor;
  }
  fail_input(where, "has the type " + show(entry->dtype) + ", which cannot be loaded");
}

void add_tensors(NewFolder& folder, const std::string& name, const NamedTensors& tensors,
                 const std::map<std::string, std::string>& metadata) {
  std::vector<data::TensorToWrite> entries;
  for (const auto& [tensor_name, tensor] : tensors) {
    entries.push_back({tensor_name, name_of(tensor.scalar_type()), tensor.sizes().vec()});
  }
  const std::string header = data::safetensors_header(entries, metadata);
  folder.add(name, [&](const auto& put) {
    put(header);
    for (const auto& named : tensors) {
      const Tensor plain = named.second.detach().to(at::kCPU).contiguous();
      put({static_cast<const char*>(plain.const_data_ptr()), plain.nbytes()});
    }
  });
}

int64_t bytes_of(const NamedTensors& tensors) {
  int64_t bytes = 0;
  for (const auto& named : tensors) bytes += static_cast<int64_t>(named.second.nbytes());
  return bytes;
}

}  // namespace guerdon::model
