/// Private to `ops`: tensors of logits as rows for the kernels, and the loops over rows and slices.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "guerdon/ops/logits.h"
#include "kernels/cpu/kernels.h"

namespace guerdon::ops {

static_assert(kLogitSlice == kernels::kColumnBlock);

/// Throws unless x is [N, V] with V > 0, contiguous columns, of a floating type, and scale and
/// temperatures are finite and positive.
void check_logits(const char* who, const Tensor& x, const LogitTransform& transform);

/// Rows that count, bool [N]; undefined when all do. Throws for a live token outside [0, V).
Tensor live_rows(const char* who, const Tensor& tokens, const LiveRows& live, int64_t rows,
                 int64_t vocabulary);

/// z of float64 (or any) logits by LibTorch's operators: differentiable, and what the kernels are
/// compared with.
Tensor transformed(const Tensor& x, const LogitTransform& transform);

/// The rows [first, ...) of a transform: its temperatures narrowed.
LogitTransform narrowed(const LogitTransform& transform, int64_t first, int64_t count);

/// The same for chosen rows.
LogitTransform selected(const LogitTransform& transform, const Tensor& rows);

/// A tensor [N, V] and its transform, row by row for the kernels.
class LogitMatrix {
 public:
  LogitMatrix(const Tensor& x, const LogitTransform& transform);
  kernels::LogitRow operator[](int64_t row) const;
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }

 private:
  const char* data_;
  int64_t rows_, columns_, row_bytes_;
  kernels::LogitRow first_;
  Tensor temperatures_;
};

/// Reduces each live row slice by slice: `block(row, begin, count, Block*)` in any order and on any
/// thread, then `finish(row, span of the row's blocks in order)`. Few rows are split inside.
template <class Block, class Reduce, class Finish>
void reduce_rows(int64_t rows, int64_t columns, const bool* live, const Reduce& block,
                 const Finish& finish) {
  const int64_t slices = (columns + kLogitSlice - 1) / kLogitSlice;
  const auto one = [&](int64_t row, int64_t slice, Block* out) {
    const int64_t begin = slice * kLogitSlice;
    block(row, begin, std::min(kLogitSlice, columns - begin), out);
  };
  const auto alive = [&](int64_t row) { return live == nullptr || live[row]; };
  if (rows >= 4 * at::get_num_threads() || slices == 1) {
    at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
      std::vector<Block> blocks(static_cast<size_t>(slices));
      for (int64_t row = begin; row < end; ++row) {
        if (!alive(row)) continue;
        for (int64_t s = 0; s < slices; ++s) one(row, s, &blocks[static_cast<size_t>(s)]);
        finish(row, blocks);
      }
    });
    return;
  }
  std::vector<Block> blocks(static_cast<size_t>(slices));
  for (int64_t row = 0; row < rows; ++row) {
    if (!alive(row)) continue;
    at::parallel_for(0, slices, 1, [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s) one(row, s, &blocks[static_cast<size_t>(s)]);
    });
    finish(row, blocks);
  }
}

/// Calls body(row, begin, count) for each slice of each row, spread over the threads.
template <class Body>
void for_each_slice(int64_t rows, int64_t columns, const Body& body) {
  const int64_t slices = (columns + kLogitSlice - 1) / kLogitSlice;
  at::parallel_for(0, rows * slices, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % slices * kLogitSlice;
      body(i / slices, first, std::min(kLogitSlice, columns - first));
    }
  });
}

}  // namespace guerdon::ops
