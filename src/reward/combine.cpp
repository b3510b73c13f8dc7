#include "guerdon/reward/combine.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "guerdon/base/error.h"
#include "guerdon/rules/format.h"

namespace guerdon {
namespace {

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

// The children's scores, and a result that holds their columns, notes and counts.
struct Gathered {
  std::vector<Scores> children;
  Scores result;
};

Gathered gather(std::vector<RewardChild>& children, const RewardBatch& batch) {
  Gathered g;
  const auto n = static_cast<int64_t>(batch.rollouts.size());
  std::vector<Tensor> columns, deviations;
  const Tensor unknown = at::full({n}, kNone, at::kFloat);
  bool deviate = false;
  for (RewardChild& child : children) {
    Scores s = child.reward->score(batch);
    g.result.names.push_back(child.name);
    columns.push_back(s.total);
    deviations.push_back(unknown);
    deviate = deviate || s.deviation.defined();
    for (size_t k = 0; k < s.names.size(); ++k) {
      const auto column = static_cast<int64_t>(k);
      g.result.names.push_back(child.name + "/" + s.names[k]);
      columns.push_back(s.components.select(1, column));
      deviations.push_back(s.deviation.defined() ? s.deviation.select(1, column) : unknown);
    }
    for (const auto& [name, count] : s.counts) g.result.counts[name] += count;
    if (!s.notes.empty()) {
      g.result.notes.resize(static_cast<size_t>(n));
      for (size_t i = 0; i < s.notes.size(); ++i) {
        std::string& note = g.result.notes[i];
        if (!s.notes[i].empty())
          note += (note.empty() ? "" : "\n") + child.name + ": " + s.notes[i];
      }
    }
    if (s.weight.defined() && child.weight != 0.0) {
      g.result.weight = g.result.weight.defined() ? g.result.weight * s.weight : s.weight;
    }
    if (s.per_token.defined() && child.weight != 0.0) {
      const Tensor part = s.per_token * child.weight;
      g.result.per_token = g.result.per_token.defined() ? g.result.per_token + part : part;
    }
    g.result.version = std::max(g.result.version, s.version);
    g.children.push_back(std::move(s));
  }
  g.result.components = at::stack(columns, 1);
  if (deviate) g.result.deviation = at::stack(deviations, 1);
  g.result.total = at::full({n}, kNone, at::kFloat);
  g.result.verdicts.assign(static_cast<size_t>(n), Verdict::no_opinion);
  return g;
}

Verdict verdict(const Scores& s, size_t i) {
  return s.verdicts.empty() ? Verdict::scored : s.verdicts[i];
}

double number(const Scores& s, size_t i) { return s.total.data_ptr<float>()[i]; }

void set(Scores& result, size_t i, double total) {
  result.total.data_ptr<float>()[i] = static_cast<float>(total);
  result.verdicts[i] = Verdict::scored;
}

double combined(Combination how, double so_far, double x) {
  switch (how) {
    case Combination::sum:
    case Combination::mean: return so_far + x;
    case Combination::product: return so_far * x;
    case Combination::min: return std::min(so_far, x);
    case Combination::max: return std::max(so_far, x);
    case Combination::first: return so_far;
  }
  return so_far;
}

void parts_of(std::vector<RewardChild>& children, Parts& parts) {
  for (RewardChild& child : children) parts.nested(child.name, *child.reward);
}

void update_all(std::vector<RewardChild>& children, const Feedback& feedback) {
  for (RewardChild& child : children) child.reward->update(feedback);
}

}  // namespace

Combined::Combined(Combination how, std::vector<RewardChild> children)
    : how_(how), children_(std::move(children)) {}

Scores Combined::score(const RewardBatch& batch) {
  Gathered g = gather(children_, batch);
  for (size_t i = 0; i < batch.rollouts.size(); ++i) {
    double total = 0, weights = 0;
    bool any = false;
    Verdict failure = Verdict::scored;
    for (size_t k = 0; k < children_.size(); ++k) {
      const double weight = children_[k].weight;
      const Verdict v = verdict(g.children[k], i);
      if (weight == 0.0 || v == Verdict::no_opinion) continue;
      if (v != Verdict::scored) {
        failure = v;
        continue;
      }
      const double x = weight * number(g.children[k], i);
      total = any ? combined(how_, total, x) : x;
      weights += weight;
      any = true;
    }
    if (failure != Verdict::scored) {
      g.result.verdicts[i] = failure;
    } else if (any) {
      set(g.result, i, how_ == Combination::mean ? total / weights : total);
    }
  }
  if (how_ == Combination::sum) {
    g.result.weights.assign(g.result.names.size(), 0.0);
    size_t column = 0;
    for (size_t k = 0; k < children_.size(); ++k) {
      g.result.weights[column] = children_[k].weight;
      column += 1 + g.children[k].names.size();
    }
  }
  return std::move(g.result);
}

void Combined::parts(Parts& parts) { parts_of(children_, parts); }
void Combined::update(const Feedback& feedback) { update_all(children_, feedback); }

Gate::Gate(const Options& options, std::vector<RewardChild> children)
    : options_(options), children_(std::move(children)) {
  GUERDON_CHECK(children_.size() == 2, "gate: a condition and a reward, got ", children_.size());
}

Scores Gate::score(const RewardBatch& batch) {
  Gathered g = gather(children_, batch);
  for (size_t i = 0; i < batch.rollouts.size(); ++i) {
    const Verdict condition = verdict(g.children[0], i), reward = verdict(g.children[1], i);
    if (condition != Verdict::scored) {
      g.result.verdicts[i] = condition;
    } else if (children_[0].weight * number(g.children[0], i) < options_.threshold) {
      set(g.result, i, options_.otherwise);
    } else if (reward != Verdict::scored) {
      g.result.verdicts[i] = reward;
    } else {
      set(g.result, i, children_[1].weight * number(g.children[1], i));
    }
  }
  return std::move(g.result);
}

void Gate::parts(Parts& parts) { parts_of(children_, parts); }
void Gate::update(const Feedback& feedback) { update_all(children_, feedback); }

void describe(SettingList& field, Gate::Options& o) {
  field("threshold", o.threshold,
        "Least score of the first reward that lets the second one through");
  field("otherwise", o.otherwise, "Score where it does not");
}

Ensemble::Ensemble(const Options& options, std::vector<RewardChild> children)
    : options_(options), children_(std::move(children)) {}

Scores Ensemble::score(const RewardBatch& batch) {
  Gathered g = gather(children_, batch);
  std::vector<Tensor> members;
  for (size_t k = 0; k < children_.size(); ++k)
    members.push_back(children_[k].weight * g.children[k].total);
  const model::Numbers scores{at::stack(members, 1), {}};
  const model::Numbers one = model::combine_members(scores, options_);
  const Tensor total = one.value.contiguous();
  for (size_t i = 0; i < batch.rollouts.size(); ++i) {
    Verdict worst = Verdict::scored;
    for (const Scores& child : g.children) worst = std::max(worst, verdict(child, i));
    g.result.verdicts[i] = worst;
    if (worst == Verdict::scored) set(g.result, i, total.const_data_ptr<float>()[i]);
  }
  Scores& out = g.result;
  out.names.insert(out.names.begin(), "mean");
  const Tensor rest =
      out.deviation.defined() ? out.deviation : at::full_like(out.components, kNone);
  out.components = at::cat({scores.value.mean(1, true), out.components}, 1);
  out.deviation = at::cat({one.deviation.unsqueeze(1), rest}, 1);
  return std::move(g.result);
}

void Ensemble::parts(Parts& parts) { parts_of(children_, parts); }
void Ensemble::update(const Feedback& feedback) { update_all(children_, feedback); }

CosineScaled::CosineScaled(const Options& options, std::vector<RewardChild> children)
    : options_(options), children_(std::move(children)) {
  GUERDON_CHECK(children_.size() == 1,
                "cosine_scaled: one reward that tells right from wrong, got ", children_.size());
}

Scores CosineScaled::score(const RewardBatch& batch) {
  Gathered g = gather(children_, batch);
  const Options& o = options_;
  for (size_t i = 0; i < batch.rollouts.size(); ++i) {
    const Verdict v = verdict(g.children[0], i);
    if (v != Verdict::scored) {
      g.result.verdicts[i] = v;
      continue;
    }
    const bool right = children_[0].weight * number(g.children[0], i) >= 0.5;
    const auto length = static_cast<int64_t>(batch.rollouts[i].tokens.size());
    set(g.result, i,
        rules::cosine_between(right ? o.max_correct : o.min_wrong,
                              right ? o.min_correct : o.max_wrong, length, o.max_length));
  }
  return std::move(g.result);
}

void CosineScaled::parts(Parts& parts) { parts_of(children_, parts); }
void CosineScaled::update(const Feedback& feedback) { update_all(children_, feedback); }

void describe(SettingList& field, CosineScaled::Options& o) {
  field("min_correct", o.min_correct, "Right, at max_length tokens");
  field("max_correct", o.max_correct, "Right, at length 0");
  field("min_wrong", o.min_wrong, "Wrong, at length 0");
  field("max_wrong", o.max_wrong, "Wrong, at max_length tokens");
  field("max_length", o.max_length, "Tokens from which on nothing changes", {.min = 1});
}

LengthInGroup::LengthInGroup(const Options& options, std::vector<RewardChild> children)
    : options_(options), children_(std::move(children)) {
  GUERDON_CHECK(children_.size() == 1,
                "length_in_group: one reward that tells right from wrong, got ", children_.size());
}

double LengthInGroup::scored(double length, bool right, double mean_right, double shortest,
                             double longest) const {
  if (options_.mode == "short_penalty") {
    const double missing = 1.0 - length / (options_.tau * mean_right);
    return mean_right > 0.0 ? -options_.max_penalty * std::clamp(missing, 0.0, 1.0) : 0.0;
  }
  const double brevity =
      longest > shortest ? 0.5 - (length - shortest) / (longest - shortest) : 0.0;
  return right ? brevity : std::min(0.0, brevity);
}

Scores LengthInGroup::score(const RewardBatch& batch) {
  Gathered g = gather(children_, batch);
  const auto length = [&](int64_t i) {
    return static_cast<double>(batch.rollouts[static_cast<size_t>(i)].tokens.size());
  };
  const auto right = [&](int64_t i) {
    return children_[0].weight * number(g.children[0], static_cast<size_t>(i)) >= 0.5;
  };
  for (size_t group = 0; group + 1 < batch.groups.size(); ++group) {
    const int64_t begin = batch.groups[group], end = batch.groups[group + 1];
    double sum_right = 0, count_right = 0;
    double shortest = std::numeric_limits<double>::infinity(), longest = 0;
    for (int64_t i = begin; i < end; ++i) {
      shortest = std::min(shortest, length(i));
      longest = std::max(longest, length(i));
      if (!right(i)) continue;
      sum_right += length(i);
      ++count_right;
    }
    const double mean_right = count_right > 0 ? sum_right / count_right : 0.0;
    for (int64_t i = begin; i < end; ++i) {
      const Verdict v = verdict(g.children[0], static_cast<size_t>(i));
      if (v == Verdict::scored) {
        set(g.result, static_cast<size_t>(i),
            scored(length(i), right(i), mean_right, shortest, longest));
      } else {
        g.result.verdicts[static_cast<size_t>(i)] = v;
      }
    }
  }
  return std::move(g.result);
}

void LengthInGroup::parts(Parts& parts) { parts_of(children_, parts); }
void LengthInGroup::update(const Feedback& feedback) { update_all(children_, feedback); }

void describe(SettingList& field, LengthInGroup::Options& o) {
  field("mode", o.mode, "What is held against a response: that it is short, or that it is long",
        {.choices = {"short_penalty", "brevity"}});
  field("max_penalty", o.max_penalty, "short_penalty: of a response of no tokens", {.min = 0.0});
  field("tau", o.tau, "short_penalty: share of the right ones' mean length that costs nothing",
        {.above = 0.0});
}

}  // namespace guerdon
