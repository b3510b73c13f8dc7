#include "train/frozen_body.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace guerdon::train {

FrozenBody::FrozenBody(model::RewardModel& model, int64_t groups_at_once)
    : model_(model), groups_at_once_(groups_at_once) {
  for (Tensor& parameter : model.body().parameters()) parameter.requires_grad_(false);
}

void FrozenBody::add_states(Batch& batch, const std::string& set) {
  std::map<int64_t, Tensor>& known = known_[set];
  const Tensor index = batch.columns.at("index").to(at::kLong);
  const auto index_of = [&](int64_t group) {
    return index.const_data_ptr<int64_t>()[batch.group[static_cast<size_t>(group)]];
  };
  const auto groups = static_cast<int64_t>(batch.group.size()) - 1;
  std::vector<int64_t> fresh;
  for (int64_t g = 0; g < groups; ++g)
    if (!known.contains(index_of(g))) fresh.push_back(g);
  for (size_t begin = 0; begin < fresh.size(); begin += static_cast<size_t>(groups_at_once_)) {
    const size_t count = std::min(static_cast<size_t>(groups_at_once_), fresh.size() - begin);
    const std::span<const int64_t> chosen = std::span(fresh).subspan(begin, count);
    const Batch part = take(batch, chosen);
    const at::NoGradGuard no_grad;
    const Tensor states = model_.states(part.sequences);
    for (size_t i = 0; i < count; ++i)
      known[index_of(chosen[i])] = states.slice(0, part.group[i], part.group[i + 1]).clone();
  }
  std::vector<Tensor> rows;
  for (int64_t g = 0; g < groups; ++g) rows.push_back(known.at(index_of(g)));
  batch.columns["states"] = at::cat(rows);
}

}  // namespace guerdon::train
