#include "guerdon/train/dynamic_labels.h"

#include <ATen/ATen.h>

#include <limits>

#include "guerdon/base/error.h"

namespace guerdon::train {

void DynamicLabels::begin_step(Batch& batch) {
  proposed_.clear();
  std::vector<double> column;
  for (size_t pair = 0; pair < batch.ids.size(); ++pair) {
    const auto known = labels_.find(batch.ids[pair]);
    const double label =
        known == labels_.end() ? std::numeric_limits<double>::quiet_NaN() : known->second;
    column.insert(column.end(), static_cast<size_t>(batch.group[pair + 1] - batch.group[pair]),
                  label);
  }
  batch.columns["label"] = at::tensor(column, at::kDouble);
}

void DynamicLabels::propose(const Batch& part, const Tensor& labels) {
  GUERDON_CHECK(labels.numel() == static_cast<int64_t>(part.ids.size()), labels.numel(),
                " labels for ", part.ids.size(), " pairs");
  const Tensor plain = labels.to(at::kCPU, at::kDouble).contiguous();
  for (size_t pair = 0; pair < part.ids.size(); ++pair)
    proposed_[part.ids[pair]] = plain.const_data_ptr<double>()[pair];
}

void DynamicLabels::commit() {
  for (const auto& [id, label] : proposed_) labels_[id] = label;
  proposed_.clear();
}

}  // namespace guerdon::train
