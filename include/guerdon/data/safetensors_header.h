/// The header of a safetensors file: which tensor lies where. Numbers and JSON only; no tensor is
/// made here.
///
/// A file is 8 bytes (length of the header, little endian), the header (a JSON object), then the
/// data. Stricter than the reference library 0.8 on two points: a name that stands twice, and a
/// header that does not begin with `{`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace guerdon::data {

struct TensorEntry {
  std::string name;            ///< any text; never a path
  std::string dtype;           ///< "F32", "BF16", ...
  std::vector<int64_t> shape;  ///< each >= 0; [] is a scalar
  uint64_t begin, end;  ///< bytes of the file, counted from its start (not from the data's start)

  uint64_t bytes() const { return end - begin; }
  int64_t elements() const;
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;             ///< in the order of their data
  std::map<std::string, std::string> metadata;  ///< "__metadata__"

  const TensorEntry* find(std::string_view name) const;  ///< nullptr when there is none
};

/// Bits of one element of a safetensors dtype; 0 when there is no such dtype.
int64_t dtype_bits(std::string_view dtype);

/// Reads and checks a header against the whole file (usually mapped): header length at most 100 MB
/// and inside the file, known dtypes, sizes without overflow, ranges that are sorted, disjoint,
/// without holes and end with the file. Nothing is allocated by a number that was not checked.
/// Throws Error (Kind::input): "WHERE: tensor "NAME": ...".
SafetensorsHeader read_safetensors_header(std::string_view file, const std::string& where);

/// What `safetensors_header` needs to know of a tensor that is to be written.
struct TensorToWrite {
  std::string name, dtype;
  std::vector<int64_t> shape;
};

/// The 8 bytes of length and the header for tensors whose data follows in this order, padded with
/// spaces so that the data begins at a multiple of 8 bytes. Throws Error (Kind::bug) on an unknown
/// dtype or a name that is there twice.
std::string safetensors_header(const std::vector<TensorToWrite>& tensors,
                               const std::map<std::string, std::string>& metadata = {});

/// Where the tensors of a model folder are.
struct ShardIndex {
  std::vector<std::string> files;                ///< file names within the folder, sorted
  std::map<std::string, std::string> tensor_in;  ///< tensor -> file name; empty for a single file
};

/// Reads `model.safetensors.index.json` when the folder has one, else takes `model.safetensors`
/// alone. Every listed file must be a plain name of an existing file in the folder (no `..`, no
/// separator). A folder that holds only pickle files
/// (`.bin`, `.pt`, `.pth`, `.ckpt`) is refused with a hint. Throws Error (Kind::input).
ShardIndex read_shard_index(const std::filesystem::path& folder);

/// Checks the header of one shard against the index: every tensor that the index puts there is
/// there, and the other way round. Throws Error (Kind::input) that names shard and tensor.
void check_shard(const ShardIndex& index, const std::string& file, const SafetensorsHeader& header,
                 const std::string& where);

}  // namespace guerdon::data
