#include "guerdon/loss/reduction.h"

#include <ATen/ATen.h>

#include "guerdon/base/error.h"
#include "guerdon/ops/segment.h"

namespace guerdon {

Totals totals_of(const Batch& batch) {
  Totals totals;
  totals.rows = static_cast<double>(batch.sequences.rows());
  totals.groups = batch.group.empty() ? totals.rows : static_cast<double>(batch.group.size() - 1);
  if (const Tensor& weight = batch.sequences.targets.weight; weight.defined()) {
    totals.targets = static_cast<double>(weight.count_nonzero().item<int64_t>());
    totals.target_weight = weight.sum(at::kDouble).item<double>();
  }
  for (const auto& [name, values] : batch.columns) {
    totals.columns[name] = at::nansum(values.to(at::kDouble)).item<double>();
  }
  return totals;
}

Totals operator+(const Totals& a, const Totals& b) {
  Totals sum = a;
  sum.groups += b.groups;
  sum.rows += b.rows;
  sum.targets += b.targets;
  sum.target_weight += b.target_weight;
  for (const auto& [name, value] : b.columns) sum.columns[name] += value;
  return sum;
}

namespace loss {
namespace {

// Selected, not multiplied: a NaN at a token of weight 0 must reach neither the value nor the
// gradient.
Tensor weighted(const Tensor& values, const Targets& targets) {
  GUERDON_CHECK(values.dim() == 1 && values.sizes() == targets.weight.sizes(),
                "one value per target is needed: ", values.sizes(), " values, ",
                targets.weight.sizes(), " targets");
  const Tensor counts = targets.weight != 0;
  const Tensor zero = at::zeros({}, values.options());
  return at::where(counts, values, zero) * targets.weight.to(values.scalar_type());
}

}  // namespace

Tensor row_sums(const Tensor& values, const Targets& targets, int64_t rows) {
  return ops::segment_logprob(values, targets.row, rows, targets.weight).sum;
}

Tensor row_weights(const Targets& targets, int64_t rows) {
  return ops::segment_logprob(targets.weight, targets.row, rows).sum;
}

Tensor share(const Tensor& values, double count) {
  return values.sum() / (count > 0.0 ? count : 1.0);
}

Tensor reduce(const Tensor& values, const Targets& targets, Reduction reduction,
              const Totals& whole, double length) {
  const auto rows = [&] {
    return targets.row.numel() == 0 ? int64_t{0} : targets.row.max().item<int64_t>() + 1;
  };
  switch (reduction) {
    case Reduction::token_mean: {
      const double tokens = whole.target_weight > 0.0 ? whole.target_weight : 1.0;
      return weighted(values, targets).sum() / tokens;
    }
    case Reduction::sequence_mean: {
      return share(ops::segment_logprob(values, targets.row, rows(), targets.weight).mean,
                   whole.rows);
    }
    case Reduction::sequence_sum: return share(weighted(values, targets), whole.rows);
    case Reduction::fixed_length:
      GUERDON_CHECK(length > 0.0, "a fixed length must be positive, got ", length);
      return share(weighted(values, targets), whole.rows) / length;
  }
  GUERDON_CHECK(false, "no such reduction");
}

Tensor token_share(const Tensor& values, const Targets& targets, const Totals& whole) {
  return reduce(values.detach().to(at::kFloat), targets, Reduction::token_mean, whole);
}

}  // namespace loss
}  // namespace guerdon
