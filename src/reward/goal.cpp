#include "guerdon/reward/goal.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "guerdon/base/error.h"

namespace guerdon {
namespace {

/// The children's weighted scores, [children][rollouts], and a result with them as components. A
/// row of which one has no opinion, or failed, has its verdict; the others are `scored`.
struct Judgements {
  std::vector<std::vector<double>> values;
  Scores result;
};

Judgements judge(std::vector<RewardChild>& children, const RewardBatch& batch) {
  const size_t n = batch.rollouts.size();
  Judgements out;
  out.result.total =
      at::full({static_cast<int64_t>(n)}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);
  out.result.verdicts.assign(n, Verdict::scored);
  std::vector<Tensor> columns;
  for (RewardChild& child : children) {
    const Scores s = child.reward->score(batch);
    const Tensor weighted = (s.total.to(at::kDouble) * child.weight).contiguous();
    const double* begin = weighted.const_data_ptr<double>();
    out.values.emplace_back(begin, begin + n);
    columns.push_back(s.total);
    out.result.names.push_back(child.name);
    for (const auto& [name, count] : s.counts) out.result.counts[name] += count;
    for (size_t i = 0; i < n; ++i) {
      const Verdict v = s.verdicts.empty() ? Verdict::scored : s.verdicts[i];
      if (v != Verdict::scored) out.result.verdicts[i] = v;
    }
  }
  out.result.components = at::stack(columns, 1);
  return out;
}

void parts_of(std::vector<RewardChild>& children, Parts& parts) {
  for (RewardChild& child : children) parts.nested(child.name, *child.reward);
}

}  // namespace

// ---- goals

Goal::Goal(const Options& options, std::vector<RewardChild> children)
    : options_(options), children_(std::move(children)) {
  if (!options_.goal.empty() && options_.goal.size() != children_.size())
    fail_settings("reward goal", str("key goal: has ", options_.goal.size(), " numbers for ",
                                     children_.size(), " rewards"));
}

double Goal::value(std::span<const double> rewards, std::span<const double> goal,
                   const Options& o) {
  double sum = 0, product = 0, length = 0, goal_length = 0;
  for (size_t k = 0; k < rewards.size(); ++k) {
    const double r = std::max(rewards[k], 0.0);
    sum += r;
    product += r * goal[k];
    length += r * r;
    goal_length += goal[k] * goal[k];
  }
  const double lengths = std::sqrt(length * goal_length);
  const double cosine = lengths > 0.0 ? std::min(product / lengths, 1.0) : 0.0;
  if (cosine < o.min_cosine) return 0.0;
  const double alpha = std::pow(cosine, std::log(o.edge) / std::log(o.min_cosine));
  return std::pow(alpha * sum, o.beta);
}

Scores Goal::score(const RewardBatch& batch) {
  Judgements all = judge(children_, batch);
  std::vector<double> rewards(children_.size());
  for (size_t i = 0; i < batch.rollouts.size(); ++i) {
    if (all.result.verdicts[i] != Verdict::scored) continue;
    for (size_t k = 0; k < rewards.size(); ++k) rewards[k] = all.values[k][i];
    const auto& example = batch.rollouts[i].example;
    const bool own = example && example->fields.has("goal");
    const std::vector<double> goal = own ? example->fields.numbers("goal") : options_.goal;
    if (goal.size() != rewards.size()) {
      if (own)
        fail_input(example->fields.where(), str("field \"goal\" has ", goal.size(), " numbers for ",
                                                rewards.size(), " rewards"));
      all.result.verdicts[i] = Verdict::no_opinion;
      continue;
    }
    all.result.total.data_ptr<float>()[i] = static_cast<float>(value(rewards, goal, options_));
  }
  return std::move(all.result);
}

void Goal::parts(Parts& parts) { parts_of(children_, parts); }
void Goal::update(const Feedback& feedback) {
  for (RewardChild& child : children_) child.reward->update(feedback);
}

void describe(SettingList& field, Goal::Options& o) {
  field("goal", o.goal,
        "Direction that the rewards should point in, a number for each; for rows without the field "
        "goal");
  field("min_cosine", o.min_cosine, "Cosine with the goal below which a response is worth nothing",
        {.above = 0.0, .below = 1.0});
  field("edge", o.edge, "Share of its rewards that a response at that cosine is worth",
        {.max = 1.0, .above = 0.0});
  field("beta", o.beta, "Power that the result is raised to", {.above = 0.0});
}

// ---- constraints

Constrained::Constrained(const Options& options, std::vector<RewardChild> children)
    : options_(options), children_(std::move(children)) {
  const size_t costs = children_.size() - 1;
  const auto check = [&](const char* key, size_t given) {
    if (given != costs)
      fail_settings("reward constrained", str("key ", key, ": has ", given, " entries for ", costs,
                                              " costs, the rewards after the first"));
  };
  check("rates", options_.rates.size());
  if (!options_.bounds.empty()) check("bounds", options_.bounds.size());
  for (const std::string& bound : options_.bounds) {
    if (bound != "upper" && bound != "lower")
      fail_settings("reward constrained", "key bounds: must be upper or lower, got " + show(bound));
  }
  if (options_.bootstrap > static_cast<int64_t>(costs))
    fail_settings("reward constrained",
                  str("key bootstrap: there is no cost ", options_.bootstrap));
  logits_.assign(costs + 1, options_.logit);
  seen_.resize(costs);
}

std::vector<double> Constrained::signs(const Options& o) {
  std::vector<double> out(o.rates.size(), 1.0);
  for (size_t j = 0; j < o.bounds.size(); ++j) out[j] = o.bounds[j] == "upper" ? 1.0 : -1.0;
  return out;
}

std::vector<double> Constrained::multipliers(std::span<const double> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> out;
  for (const double z : logits) out.push_back(std::exp(z - largest));
  const double sum = std::accumulate(out.begin(), out.end(), 0.0);
  for (double& lambda : out) lambda /= sum;
  return out;
}

std::vector<double> Constrained::gradient(std::span<const double> logits,
                                          std::span<const double> costs, const Options& o) {
  const std::vector<double> lambda = multipliers(logits), s = signs(o);
  std::vector<double> excess{0.0};
  for (size_t j = 0; j < costs.size(); ++j)
    excess.push_back(std::isnan(costs[j]) ? 0.0 : -s[j] * (costs[j] - o.rates[j]));
  const double loss = std::inner_product(lambda.begin(), lambda.end(), excess.begin(), 0.0);
  std::vector<double> out;
  for (size_t k = 0; k < lambda.size(); ++k) out.push_back(lambda[k] * (excess[k] - loss));
  return out;
}

Scores Constrained::score(const RewardBatch& batch) {
  Judgements all = judge(children_, batch);
  const std::vector<double> lambda = multipliers(logits_), s = signs(options_);
  const auto b = static_cast<size_t>(options_.bootstrap);
  const double main = b > 0 ? std::max(lambda[0], lambda[b]) : lambda[0];
  for (size_t i = 0; i < batch.rollouts.size(); ++i) {
    if (all.result.verdicts[i] != Verdict::scored) continue;
    double total = main * all.values[0][i];
    for (size_t j = 0; j < s.size(); ++j) {
      const double cost = all.values[j + 1][i];
      total -= s[j] * lambda[j + 1] * cost;
      if (batch.measuring || batch.rollouts[i].finish == Finish::length) continue;
      Window& window = seen_[j];
      window.values[std::to_string(window.count++ % options_.window)] = cost;
    }
    all.result.total.data_ptr<float>()[i] = static_cast<float>(total);
  }
  for (size_t j = 0; j < lambda.size(); ++j)
    all.result.counts["multiplier/" + children_[j].name] = lambda[j];
  return std::move(all.result);
}

void Constrained::Window::parts(Parts& parts) {
  parts.rows("values", values);
  parts.integer("count", count);
}

void Constrained::parts(Parts& parts) {
  parts_of(children_, parts);
  parts.integer("steps", steps_);
  for (size_t j = 0; j < logits_.size(); ++j) parts.number(str("logit", j), logits_[j]);
  for (size_t j = 0; j < seen_.size(); ++j) parts.nested(str("seen", j), seen_[j]);
}

void Constrained::update(const Feedback& feedback) {
  for (RewardChild& child : children_) child.reward->update(feedback);
  if (++steps_ % options_.every != 0) return;
  std::vector<double> costs;
  for (const Window& window : seen_) {
    double sum = 0;
    for (const auto& [place, value] : window.values) sum += value;
    costs.push_back(sum / static_cast<double>(window.values.size()));
  }
  const std::vector<double> down = gradient(logits_, costs, options_);
  for (size_t j = 0; j < logits_.size(); ++j) logits_[j] -= options_.learning_rate * down[j];
}

void describe(SettingList& field, Constrained::Options& o) {
  field("rates", o.rates, "Wanted mean of each cost: of each reward in \"of\" after the first");
  field("bounds", o.bounds,
        "Whether each is at most (upper) or at least (lower) that; empty: upper");
  field("bootstrap", o.bootstrap,
        "The cost (from 1) whose multiplier the first reward has at least; 0: none", {.min = 0});
  field("learning_rate", o.learning_rate, "Of the multipliers' logits", {.above = 0.0});
  field("every", o.every, "Steps between two moves of the multipliers", {.min = 1});
  field("window", o.window, "Rows that a cost's mean is taken over", {.min = 1});
  field("logit", o.logit, "Of all multipliers at the beginning");
}

}  // namespace guerdon
