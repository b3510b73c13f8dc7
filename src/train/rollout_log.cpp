#include "guerdon/train/rollout_log.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/loss/advantage.h"

namespace guerdon::train {
namespace {

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double x : values) sum += x;
  return values.empty() ? std::numeric_limits<double>::quiet_NaN()
                        : sum / static_cast<double>(values.size());
}

// Mean and sample deviation of the numbers that are there.
std::pair<double, double> moments(const Tensor& column) {
  const Tensor values = column.to(at::kDouble);
  const Tensor there = values.masked_select(values.isfinite());
  const double mean =
      there.numel() > 0 ? there.mean().item<double>() : std::numeric_limits<double>::quiet_NaN();
  return {mean, there.numel() > 1 ? there.std().item<double>() : 0.0};
}

Metric number(const std::string& name, double value) {
  return {name, at::scalar_tensor(value, at::kDouble)};
}

Json json_number(const Tensor& x) {
  return x.isfinite().item<bool>() ? Json(x.item<double>()) : Json(nullptr);
}

}  // namespace

std::vector<Metric> rollout_metrics(std::span<const Rollout> rollouts,
                                    std::span<const int64_t> groups, const Scores& scores) {
  std::vector<Metric> out;
  const auto add = [&](const std::string& name, double value) {
    out.push_back(number(name, value));
  };
  const auto [mean, deviation] = moments(scores.total);
  add("reward", mean);
  add("reward_std", deviation);
  add("frac_reward_zero_std", loss::zero_deviation_share(scores.total, groups));
  for (size_t k = 0; k < scores.names.size(); ++k) {
    const auto [m, d] = moments(scores.components.select(1, static_cast<int64_t>(k)));
    add("rewards/" + scores.names[k] + "/mean", m);
    add("rewards/" + scores.names[k] + "/std", d);
    if (!scores.deviation.defined()) continue;
    const double unsure = moments(scores.deviation.select(1, static_cast<int64_t>(k))).first;
    if (std::isfinite(unsure)) add("rewards/" + scores.names[k] + "/deviation", unsure);
  }
  for (const auto& [name, count] : scores.counts) add("reward/" + name, count);

  std::vector<double> lengths, terminated;
  for (const Rollout& r : rollouts) {
    lengths.push_back(static_cast<double>(r.tokens.size()));
    if (r.finish == Finish::stop) terminated.push_back(lengths.back());
  }
  const auto add_lengths = [&](const std::string& suffix, const std::vector<double>& values) {
    add("completions/mean_" + suffix, values.empty() ? 0.0 : mean_of(values));
    add("completions/min_" + suffix,
        values.empty() ? 0.0 : *std::min_element(values.begin(), values.end()));
    add("completions/max_" + suffix,
        values.empty() ? 0.0 : *std::max_element(values.begin(), values.end()));
  };
  add_lengths("length", lengths);
  add_lengths("terminated_length", terminated);
  add("completions/clipped_ratio",
      1.0 - static_cast<double>(terminated.size()) / static_cast<double>(lengths.size()));
  return out;
}

double value_of(const std::vector<Metric>& metrics, const std::string& name) {
  const auto found = std::find_if(metrics.begin(), metrics.end(),
                                  [&](const Metric& metric) { return metric.name == name; });
  GUERDON_CHECK(found != metrics.end(), "no metric is called ", name);
  return found->value.item<double>();
}

Json sample_row(const Rollout& rollout) {
  Json row = Json::object();
  if (rollout.example) {
    const auto* messages = std::get_if<Conversation>(&rollout.example->prompt);
    row["id"] = rollout.example->id;
    row["prompt"] = messages ? conversation_json(*messages)
                             : Json(std::get<std::string>(rollout.example->prompt));
  }
  row["completion"] = rollout.text;
  row["tokens"] = rollout.tokens.size();
  row["finish_reason"] = name_of(rollout.finish);
  return row;
}

Json sample_row(const Rollout& rollout, const Scores& scores, int64_t index) {
  Json row = sample_row(rollout);
  row["reward"] = json_number(scores.total[index]);
  for (size_t k = 0; k < scores.names.size(); ++k) {
    row["rewards"][scores.names[k]] =
        json_number(scores.components[index][static_cast<int64_t>(k)]);
  }
  const auto i = static_cast<size_t>(index);
  if (!scores.notes.empty() && !scores.notes[i].empty()) row["note"] = scores.notes[i];
  return row;
}

}  // namespace guerdon::train
