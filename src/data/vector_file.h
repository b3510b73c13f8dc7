/// Private to `data`: one file of vectors, whatever its format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace guerdon::data {

/// For one thread at a time. Throws Error (Kind::input) that names file and tensor.
class VectorFile {
 public:
  struct Shape {
    int64_t rows = 1, width = 0;
    bool matrix = false;  ///< [rows, width], not one vector [width]
  };

  virtual ~VectorFile() = default;
  virtual std::vector<std::string> keys() = 0;
  /// Of a tensor of floating point numbers with one or two dimensions.
  virtual Shape shape(const std::string& key) = 0;
  /// A row of it; `out` is as long as it is wide.
  virtual void read(const std::string& key, int64_t row, std::span<float> out) = 0;
};

/// HDF5 by its signature, safetensors otherwise.
std::unique_ptr<VectorFile> open_vectors(const std::filesystem::path& file);
std::unique_ptr<VectorFile> open_hdf5_vectors(const std::filesystem::path& file);

/// A vector may have so many numbers.
inline constexpr int64_t kMaxVectorWidth = int64_t{1} << 24;

}  // namespace guerdon::data
