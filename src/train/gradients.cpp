#include "guerdon/train/gradients.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "guerdon/base/error.h"

namespace guerdon::train {
namespace {

/// Metrics of the parts, merged; numbers leave their device only in `numbers`.
class Merged {
 public:
  void add(const Loss& loss, bool is_loss = true) {
    if (is_loss) add({"", loss.value.detach(), Metric::Merge::sum});
    for (const Metric& metric : loss.metrics) add(metric);
  }
  void add(const Metric& metric) {
    const Tensor value = metric.value.detach().to(at::kDouble);
    const auto found = std::find_if(metrics_.begin(), metrics_.end(),
                                    [&](const Metric& m) { return m.name == metric.name; });
    if (found == metrics_.end()) {
      metrics_.push_back({metric.name, value, metric.merge});
      return;
    }
    switch (metric.merge) {
      case Metric::Merge::sum: found->value = found->value + value; break;
      case Metric::Merge::min: found->value = at::minimum(found->value, value); break;
      case Metric::Merge::max: found->value = at::maximum(found->value, value); break;
    }
  }
  StepLoss numbers() const {
    StepLoss out;
    for (const Metric& metric : metrics_) {
      const double value = metric.value.item<double>();
      if (metric.name.empty()) {
        out.loss = value;
      } else {
        out.metrics.emplace_back(metric.name, value);
      }
    }
    return out;
  }

 private:
  std::vector<Metric> metrics_;
};

/// The tensors of an Outputs by name, so that parts can be joined and gradients fed back.
template <class Visit>
void each_output(Outputs& outputs, Visit&& visit) {
  visit("logprobs", outputs.logprobs);
  visit("reference", outputs.reference);
  visit("entropy", outputs.entropy);
  visit("values", outputs.values);
  visit("scores", outputs.scores);
  for (auto& [name, tensor] : outputs.extra) visit("extra." + name, tensor);
}

Outputs joined(std::vector<Outputs>& parts) {
  std::map<std::string, std::vector<Tensor>> pieces;
  for (Outputs& part : parts) {
    each_output(part, [&](const std::string& name, Tensor& t) {
      if (t.defined()) pieces[name].push_back(t);
    });
  }
  Outputs whole;
  whole.extra = parts.front().extra;
  each_output(whole, [&](const std::string& name, Tensor& t) {
    const auto& list = pieces[name];
    if (!list.empty()) t = at::cat(list);
  });
  return whole;
}

Outputs joined_outputs(const std::function<Outputs(const Batch& part)>& forward,
                       const std::vector<Batch>& parts) {
  const at::NoGradGuard no_grad;
  std::vector<Outputs> outputs;
  for (const Batch& part : parts) outputs.push_back(forward(part));
  return joined(outputs);
}

void accumulate_whole(const Term& term, const Batch& step, const std::vector<Batch>& parts,
                      const Totals& whole, Merged& merged) {
  Outputs all = joined_outputs(term.forward, parts);
  each_output(all, [](const std::string&, Tensor& t) {
    if (t.defined() && t.is_floating_point()) t.requires_grad_();
  });
  const Loss loss = term.loss(all, step, whole);
  loss.value.backward();
  merged.add(loss, term.is_loss);

  std::map<std::string, int64_t> taken;  // rows of each joined output that earlier parts had
  for (const Batch& part : parts) {
    Outputs again = term.forward(part);
    std::vector<Tensor> roots, gradients;
    std::map<std::string, Tensor> all_gradients;
    each_output(all, [&](const std::string& name, Tensor& t) {
      if (t.defined() && t.grad().defined()) all_gradients[name] = t.grad();
    });
    each_output(again, [&](const std::string& name, Tensor& t) {
      if (!t.defined()) return;
      const int64_t begin = taken[name];
      taken[name] += t.size(0);
      if (!t.requires_grad() || all_gradients.count(name) == 0) return;
      roots.push_back(t);
      gradients.push_back(all_gradients[name].narrow(0, begin, t.size(0)));
    });
    if (!roots.empty()) torch::autograd::backward(roots, gradients);
  }
}

class Accumulation final : public Gradients {
 public:
  explicit Accumulation(const MicroBatches& micro) : micro_(micro) {}

  void over(const Term& term, const Batch& batch) override {
    const Totals whole = totals_of(batch);
    const auto pieces = cut(batch, micro_);
    if (!term.additive && pieces.size() > 1)
      return accumulate_whole(term, batch, parts(batch, pieces), whole, merged_);
    for (const auto& groups : pieces) {
      const Batch now = pieces.size() == 1 ? batch : take(batch, groups);
      const Loss loss = term.loss(term.forward(now), now, whole);
      if (loss.value.requires_grad()) loss.value.backward();
      merged_.add(loss, term.is_loss);
    }
  }
  Outputs outputs(const std::function<Outputs(const Batch& part)>& forward,
                  const Batch& batch) override {
    return joined_outputs(forward, parts(batch, cut(batch, micro_)));
  }
  void add(const Metric& metric) override { merged_.add(metric); }
  StepLoss numbers() const { return merged_.numbers(); }

 private:
  static std::vector<Batch> parts(const Batch& batch,
                                  const std::vector<std::vector<int64_t>>& pieces) {
    std::vector<Batch> out;
    for (const auto& groups : pieces) out.push_back(take(batch, groups));
    return out;
  }

  MicroBatches micro_;
  Merged merged_;
};

int64_t group_count(const Batch& batch) {
  return batch.group.empty() ? batch.sequences.rows()
                             : static_cast<int64_t>(batch.group.size()) - 1;
}

/// Packed tokens that belong to each group.
std::vector<int64_t> group_tokens(const Batch& batch) {
  std::vector<int64_t> group_of_row(static_cast<size_t>(batch.sequences.rows()));
  if (batch.group.empty()) {
    std::iota(group_of_row.begin(), group_of_row.end(), int64_t{0});
  } else {
    for (int64_t g = 0; g < group_count(batch); ++g) {
      std::fill(group_of_row.begin() + batch.group[static_cast<size_t>(g)],
                group_of_row.begin() + batch.group[static_cast<size_t>(g) + 1], g);
    }
  }
  // A shared prefix belongs to the group of the rows that end below it.
  const auto& segments = batch.sequences.segments;
  std::vector<int64_t> group_of_segment(segments.size(), -1);
  std::vector<int64_t> tokens(static_cast<size_t>(group_count(batch)), 0);
  for (size_t s = segments.size(); s-- > 0;) {
    const Segment& segment = segments[s];
    int64_t& group = group_of_segment[s];
    if (segment.row >= 0) group = group_of_row[static_cast<size_t>(segment.row)];
    if (group < 0) continue;
    if (segment.parent >= 0) group_of_segment[static_cast<size_t>(segment.parent)] = group;
    tokens[static_cast<size_t>(group)] += segment.end - segment.begin;
  }
  return tokens;
}

}  // namespace

std::vector<std::vector<int64_t>> cut(const Batch& batch, const MicroBatches& micro) {
  const int64_t groups = group_count(batch);
  std::vector<std::vector<int64_t>> parts;
  const std::vector<int64_t> tokens =
      micro.tokens > 0 ? group_tokens(batch) : std::vector<int64_t>();
  int64_t in_part = 0;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t size = micro.tokens > 0 ? tokens[static_cast<size_t>(g)] : 1;
    const int64_t limit = micro.tokens > 0 ? micro.tokens : micro.groups;
    if (parts.empty() || in_part + size > limit) {
      parts.emplace_back();
      in_part = 0;
    }
    parts.back().push_back(g);
    in_part += size;
  }
  return parts;
}

StepLoss accumulate(Algorithm& algorithm, const Batch& step, const MicroBatches& micro) {
  Accumulation run(micro);
  algorithm.gradients(step, run);
  return run.numbers();
}

StepLoss evaluate(Algorithm& algorithm, const std::string& set, std::optional<Totals>& totals) {
  const at::NoGradGuard no_grad;
  if (!totals) {
    Totals sum;
    for (int64_t i = 0;; ++i) {
      const std::optional<Batch> batch = algorithm.evaluation(set, i);
      if (!batch) break;
      sum = sum + totals_of(*batch);
    }
    totals = sum;
  }
  Merged merged;
  for (int64_t i = 0;; ++i) {
    const std::optional<Batch> batch = algorithm.evaluation(set, i);
    if (!batch) break;
    const Outputs outputs = algorithm.forward(*batch);
    if (algorithm.additive()) {
      merged.add(algorithm.loss(outputs, *batch, *totals));
      continue;
    }
    const Totals own = totals_of(*batch);
    Loss loss = algorithm.loss(outputs, *batch, own);
    const double weight = own.groups / totals->groups;
    loss.value = loss.value * weight;
    for (Metric& metric : loss.metrics) {
      if (metric.merge == Metric::Merge::sum) metric.value = metric.value * weight;
    }
    merged.add(loss);
  }
  return merged.numbers();
}

}  // namespace guerdon::train
