#include <ATen/ATen.h>

#include "guerdon/base/error.h"
#include "guerdon/base/random.h"
#include "train/reward_objective.h"

namespace guerdon::train {
namespace {

// Tells the draws of rows from others of the same purpose.
constexpr uint64_t kStream = 0x6d656d62657273;

std::string prefix_of(size_t member) { return guerdon::str("member", member, "/"); }

/// Puts a member's columns, "member0/NAME", in the place of the common ones.
template <class Values>
void take_own(std::map<std::string, Values>& columns, size_t member) {
  const std::string prefix = prefix_of(member);
  for (auto at = columns.lower_bound(prefix); at != columns.end() && at->first.starts_with(prefix);
       ++at)
    columns[at->first.substr(prefix.size())] = at->second;
}

/// One body with the heads of several members, each of which learns its objective from its own
/// share of the rows (bootstrapped heads: Osband et al. 2016, arXiv:1602.04621; the shared trunk of
/// BRME, arXiv:2409.15360). In an evaluation all of them see all rows.
class Ensemble final : public RewardObjective {
 public:
  Ensemble(std::vector<std::unique_ptr<RewardObjective>> members, const RewardSettings& settings)
      : members_(std::move(members)),
        settings_(settings.ensemble),
        seed_(static_cast<uint64_t>(settings.train.seed)) {}

  std::string unit() const override { return first().unit(); }
  bool feels_shifts() const override { return first().feels_shifts(); }
  FeedOptions rows(const Words& words, const TruncationRule& cut) const override {
    return first().rows(words, cut);
  }
  std::optional<model::Readout> readout() const override {
    model::Readout out = first().readout().value_or(model::Readout{.names = {"reward"}});
    out.members = static_cast<int64_t>(members_.size());
    out.combination = settings_.combination;
    return out;
  }
  Batch counted(Batch batch) const override { return first().counted(std::move(batch)); }

  // A member has the columns that its objective adds, and where rows are not its own their share
  // of what the step is divided by is taken out.
  void begin_step(Batch& batch) override {
    const Batch common = batch;
    const bool all = settings_.row_share >= 1.0;
    for (size_t m = 0; m < members_.size(); ++m) {
      Batch own = common;
      members_[m]->begin_step(own);
      const Tensor kept = kept_rows(common, m);
      for (const auto& [name, values] : own.columns) {
        if (values.dim() != 1 || (all && common.columns.contains(name))) continue;
        batch.columns[prefix_of(m) + name] =
            all ? values : at::where(kept, values, at::zeros_like(values));
      }
      if (!all) batch.columns[prefix_of(m) + "kept"] = kept.to(at::kDouble);
    }
  }

  Loss loss(const Tensor& outputs, const Batch& part, const Totals& whole) override {
    const auto all = static_cast<int64_t>(members_.size()), each = outputs.size(1) / all;
    Loss out{outputs.sum() * 0.0, {}};
    for (size_t m = 0; m < members_.size(); ++m) {
      Tensor its = outputs.narrow(1, static_cast<int64_t>(m) * each, each);
      Batch own = part;
      if (const auto kept = part.columns.find(prefix_of(m) + "kept"); kept != part.columns.end()) {
        const Tensor rows = kept->second.nonzero().squeeze(1);
        if (rows.numel() == 0) continue;
        own = take(part, groups_of(part, kept->second));
        its = its.index_select(0, rows);
      }
      Totals totals = whole;
      take_own(totals.columns, m);
      take_own(own.columns, m);
      const Loss one = members_[m]->loss(its.contiguous(), own, totals);
      const double share = 1.0 / static_cast<double>(all);
      out.value = out.value + share * one.value;
      for (const Metric& metric : one.metrics) {
        const bool adds = metric.merge == Metric::Merge::sum;
        out.metrics.push_back(
            {metric.name, adds ? share * metric.value : metric.value, metric.merge});
      }
    }
    return out;
  }

  void end_step() override {
    for (const auto& member : members_) member->end_step();
  }
  void parts(Parts& parts) override {
    for (size_t m = 0; m < members_.size(); ++m)
      parts.nested(guerdon::str("member", m), *members_[m]);
  }

  Explanation explanation() const override {
    Explanation out = first().explanation();
    out.push_back(
        {.title = "ensemble",
         .lines = {
             guerdon::str(members_.size(),
                          " members with a head each on one body: L is the "
                          "mean of their losses, and so are the metrics"),
             guerdon::str("each learns from a share of ", settings_.row_share,
                          " of the rows, drawn by seed, row and member, and divides by them"),
             "the score that others read: " + settings_.combination.combine + " of the members'"}});
    return out;
  }

 private:
  const RewardObjective& first() const { return *members_.front(); }

  /// [rows] bool: drawn by the row's index, so that it is the same in every epoch.
  Tensor kept_rows(const Batch& batch, size_t member) const {
    const Tensor index = batch.columns.at("index").to(at::kDouble).contiguous();
    Tensor out = at::ones({index.size(0)}, at::kBool);
    for (int64_t row = 0; row < index.size(0); ++row) {
      const auto name = static_cast<uint64_t>(index.const_data_ptr<double>()[row]);
      const double draw = Random(seed_, Purpose::choose, kStream, name).uniform(member);
      out.mutable_data_ptr<bool>()[row] = draw < settings_.row_share;
    }
    return out;
  }
  /// The groups whose rows are kept: a group's are so together, having one index.
  static std::vector<int64_t> groups_of(const Batch& part, const Tensor& kept) {
    std::vector<int64_t> out;
    for (size_t group = 0; group + 1 < part.group.size(); ++group) {
      if (kept[part.group[group]].item<double>() > 0.0) out.push_back(static_cast<int64_t>(group));
    }
    return out;
  }

  std::vector<std::unique_ptr<RewardObjective>> members_;
  EnsembleSettings settings_;
  uint64_t seed_;
};

}  // namespace

void describe(SettingList& field, EnsembleSettings& s) {
  field("members", s.members, "Heads on one body, each trained by itself; 1: no ensemble",
        {.min = 1, .max = 1024});
  field("row_share", s.row_share, "Share of the rows that a member learns from, its own draw",
        {.max = 1.0, .above = 0.0});
  describe(field, s.combination);
}

std::unique_ptr<RewardObjective> make_ensemble_objective(
    std::vector<std::unique_ptr<RewardObjective>> members, const RewardSettings& settings) {
  return std::make_unique<Ensemble>(std::move(members), settings);
}

}  // namespace guerdon::train
