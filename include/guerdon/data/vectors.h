/// Vectors that rows of data name instead of holding them: features of texts, of pictures, of
/// anything, in safetensors or HDF5 files beside the rows.
///
/// A reference is {"file": F, "key": K, "row": R}: row R of the tensor K, a matrix; without "row" K
/// is one vector; without "key" the file holds one tensor alone. Or the text "F#R" (such a row) or
/// "F#K" (such a vector). F is relative to the file of the rows. Elements are floating point
/// numbers of 16, 32 or 64 bits.
///
/// Fields of a row: "prompt_vector" is the prompt's; the responses' are "completion_vector",
/// "chosen_vector" and "rejected_vector", or the list "response_vectors".
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "guerdon/data/example.h"

namespace guerdon::data {

/// All vectors that some rows name, each under a number; they have one width. Any number of threads
/// may use one.
class VectorTable {
 public:
  VectorTable();
  ~VectorTable();
  VectorTable(VectorTable&&) noexcept;
  VectorTable& operator=(VectorTable&&) noexcept;

  /// The number of the vector that a field names; of the same vector the same. It is read once, so
  /// that whatever is wrong is told here. Throws Error (Kind::input): at the row for a field that
  /// is missing or no reference, a tensor or row that is not there, a width other than the others';
  /// at the file for one that is damaged, of other elements, with numbers that are not finite.
  ///
  /// An HDF5 file is opened by the HDF5 library, which is not made for files that mean harm: those
  /// of strangers should be safetensors.
  int64_t number(const Fields& row, const std::string& field);

  /// Numbers in a vector; 0 while there is none.
  int64_t width() const;
  /// Vectors by their numbers, one after the other: [numbers, width].
  std::vector<float> read(std::span<const int64_t> numbers) const;
  /// Of the files that were named, whole.
  std::string fingerprint() const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

/// The field that names a response's vector, in the fields that response_fields() gives.
inline constexpr const char* kResponseVector = "response_vector";

/// The row's fields as they are for one of its responses: with "response_vector" where the row
/// names one. A row without vectors gives its fields as they are. Throws Error (Kind::input) when
/// "response_vectors" is not a list with one entry for each response.
Fields response_fields(const Example& example, size_t response);

}  // namespace guerdon::data
