#include "guerdon/reward/route.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/model/feature_model.h"
#include "guerdon/rules/clauses.h"

namespace guerdon {
namespace {

/// What a row's field says, "" when it does not.
std::string text_of(const Rollout& rollout, const std::string& field) {
  if (!rollout.example || !rollout.example->fields.has(field)) return {};
  const Json& value = rollout.example->fields.json()[field];
  return value.is_string() ? value.get<std::string>() : value.dump();
}

Verdict verdict(const Scores& s, size_t i) {
  return s.verdicts.empty() ? Verdict::scored : s.verdicts[i];
}

}  // namespace

Route::Route(const Options& options, std::vector<RewardChild> children)
    : options_(options), children_(std::move(children)) {}

Scores Route::score(const RewardBatch& batch) {
  const size_t n = batch.rollouts.size();
  Scores out;
  out.total =
      at::full({static_cast<int64_t>(n)}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);
  out.verdicts.assign(n, Verdict::no_opinion);
  out.notes.resize(n);
  for (RewardChild& child : children_) {
    std::vector<Rollout> own;
    std::vector<int64_t> groups{0};
    std::vector<size_t> rows;
    for (size_t g = 0; g + 1 < batch.groups.size(); ++g) {
      for (int64_t i = batch.groups[g]; i < batch.groups[g + 1]; ++i) {
        const auto row = static_cast<size_t>(i);
        if (text_of(batch.rollouts[row], options_.field) != child.name) continue;
        own.push_back(batch.rollouts[row]);
        rows.push_back(row);
      }
      if (static_cast<int64_t>(own.size()) > groups.back())
        groups.push_back(static_cast<int64_t>(own.size()));
    }
    if (own.empty()) continue;
    const Scores found =
        child.reward->score({own, groups, batch.step, batch.services, batch.measuring});
    const Tensor total = found.total.to(at::kFloat) * child.weight;
    for (size_t i = 0; i < rows.size(); ++i) {
      out.total[static_cast<int64_t>(rows[i])] = total[static_cast<int64_t>(i)];
      out.verdicts[rows[i]] = verdict(found, i);
      if (!found.notes.empty()) out.notes[rows[i]] = found.notes[i];
    }
    for (const auto& [name, count] : found.counts) out.counts[name] += count;
    out.version = std::max(out.version, found.version);
  }
  return out;
}

void Route::parts(Parts& parts) {
  for (RewardChild& child : children_) parts.nested(child.name, *child.reward);
}
void Route::update(const Feedback& feedback) {
  for (RewardChild& child : children_) child.reward->update(feedback);
}

void describe(SettingList& field, Route::Options& o) {
  field("field", o.field, "Column that says which reward of \"of\", by its name, judges a row");
}

Difficulty::Difficulty(const Options& options, std::vector<RewardChild> children)
    : options_(options), children_(std::move(children)), embedder_([&] {
        if (options.embedder.empty())
          fail_settings("reward difficulty", "key embedder: must name a model that reads clauses");
        return model::Embedder(options.embedder, options.embedding);
      }()) {
  GUERDON_CHECK(children_.size() == 1, "difficulty: one reward, got ", children_.size());
}

std::vector<double> Difficulty::hardness(const std::string& demonstration,
                                         std::span<const Rollout> responses) const {
  const auto vectors = [&](const std::string& text) {
    std::vector<std::vector<int64_t>> tokens;
    for (const std::string_view clause : rules::clauses(text))
      tokens.push_back(embedder_.tokens(std::string(clause)));
    return embedder_.vectors(tokens);
  };
  const Tensor wanted = vectors(demonstration).unsqueeze(1);
  std::vector<double> similarity;
  for (const Rollout& response : responses)
    similarity.push_back(loss::clause_similarity(
        model::cosine(wanted, vectors(response.text).unsqueeze(0)), options_.mean_over));
  return loss::data_hardness(similarity);
}

Scores Difficulty::score(const RewardBatch& batch) {
  RewardChild& child = children_[0];
  Scores out = child.reward->score(batch);
  const auto n = static_cast<int64_t>(batch.rollouts.size());
  out.total = out.total.to(at::kFloat) * child.weight;

  // The demonstrations, judged in one call.
  std::vector<Rollout> demonstrations;
  std::vector<size_t> of_group;  // of each demonstration
  std::vector<int64_t> singles{0};
  for (size_t g = 0; g + 1 < batch.groups.size(); ++g) {
    const Rollout& first = batch.rollouts[static_cast<size_t>(batch.groups[g])];
    const std::string text = text_of(first, options_.field);
    if (text.empty()) continue;
    Rollout demonstration{.example = first.example, .group = first.group};
    demonstration.text = text;
    demonstrations.push_back(std::move(demonstration));
    of_group.push_back(g);
    singles.push_back(static_cast<int64_t>(demonstrations.size()));
  }
  Tensor hardness = at::ones({n}), responsiveness = at::ones({n});
  if (!demonstrations.empty()) {
    const Scores judged =
        child.reward->score({demonstrations, singles, batch.step, batch.services, true});
    const Tensor best = judged.total.to(at::kFloat) * child.weight;
    for (size_t d = 0; d < demonstrations.size(); ++d) {
      const int64_t begin = batch.groups[of_group[d]], end = batch.groups[of_group[d] + 1];
      const std::vector<double> hard = this->hardness(
          demonstrations[d].text,
          batch.rollouts.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
      std::vector<double> gaps;
      for (int64_t i = begin; i < end; ++i) {
        hardness[i] = hard[static_cast<size_t>(i - begin)];
        const double gap = (best[static_cast<int64_t>(d)] - out.total[i]).item<double>();
        if (std::isfinite(gap)) gaps.push_back(gap);
      }
      responsiveness.slice(0, begin, end)
          .fill_(loss::responsiveness(gaps, options_.responsiveness));
    }
  }
  const Tensor weight = hardness * responsiveness;
  out.weight = out.weight.defined() ? out.weight * weight : weight;
  const Tensor more = at::stack({hardness, responsiveness}, 1);
  out.components = out.components.defined() ? at::cat({out.components, more}, 1) : more;
  out.names.insert(out.names.end(), {"hardness", "responsiveness"});
  out.weights.clear();
  return out;
}

void Difficulty::parts(Parts& parts) { parts.nested(children_[0].name, *children_[0].reward); }
void Difficulty::update(const Feedback& feedback) { children_[0].reward->update(feedback); }

void describe(SettingList& field, Difficulty::Options& o) {
  field("field", o.field, "Column with a demonstration: a response that is good");
  field("embedder", o.embedder, "Model folder or run that makes vectors of clauses");
  field("pooling", o.embedding.pooling, "How its hidden states become one vector",
        {.choices = {"mean", "last", "cls"}});
  field("batch_tokens", o.embedding.batch_tokens,
        "Tokens of one forward pass of the embedder; no effect on the result", {.min = 1});
  field("bf16", o.embedding.bf16, "The embedder computes in bfloat16");
  field("mean_over", o.mean_over, "Whose clauses are averaged over; each takes the other's likest",
        {.choices = {"demonstration", "response"}});
  field("tau", o.responsiveness.tau, "Gaps farther from their mean than sqrt(tau) do not count",
        {.min = 0.0});
  field("keep", o.responsiveness.keep, "The nearest gaps that count, instead of tau; 0: tau",
        {.min = 0});
}

}  // namespace guerdon
