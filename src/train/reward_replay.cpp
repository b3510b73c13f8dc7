#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "guerdon/loss/distill.h"
#include "train/reward_beside.h"

namespace guerdon::train {
namespace {

/// Rows whose scores stay where they began (ReMoDetect; Lee et al. 2024, arXiv:2405.17382).
class Replay final : public Beside {
 public:
  Replay(const BesideNeeds& needs, const Trained& model)
      : settings_(needs.settings.replay),
        model_(model),
        start_(needs.load(needs.settings.train.model_name_or_path,
                          static_cast<uint64_t>(needs.settings.train.seed))),
        feed_(side_settings(needs.settings.train, settings_.rows), needs.where,
              judged_rows(needs, *model_)) {
    for (Tensor& parameter : start_->parameters()) parameter.requires_grad_(false);
  }

  std::string name() const override { return "replay"; }
  void collect(int64_t) override { batch_ = feed_.next(); }
  void gradients(const Batch& batch, Gradients& run, const Objective& objective) override {
    objective(batch);
    run.over({.forward = [this](const Batch& part) { return forward(part); },
              .loss = [this](const Outputs& out, const Batch&,
                             const Totals& whole) { return loss(out, whole); }},
             batch_);
  }
  std::string fingerprint() const override { return feed_.fingerprint(); }
  void parts(Parts& parts) override {
    parts.module("start", *start_);
    parts.nested("data", feed_);
  }

 private:
  Outputs forward(const Batch& part) const {
    Outputs out{.scores = model_->outputs(part.sequences)};
    const at::NoGradGuard no_grad;
    out.reference = start_->outputs(part.sequences);
    return out;
  }
  Loss loss(const Outputs& out, const Totals& whole) const {
    const Tensor drift = loss::score_drift(out.scores, out.reference).sum(-1);
    return {settings_.weight * drift.sum(),
            {{"replay/drift", loss::share(drift.detach(), whole.rows)}}};
  }

  const ReplaySettings& settings_;
  Trained model_;
  std::shared_ptr<model::RewardModel> start_;
  Feed feed_;
  Batch batch_;
};

}  // namespace

void describe(SettingList& field, ReplaySettings& s) {
  describe(field, s.rows);
  field("weight", s.weight,
        "Weight of the sum of squares of how far the scores of these rows have gone",
        {.above = 0.0});
}

std::unique_ptr<Beside> make_replay(const BesideNeeds& needs, const Trained& model) {
  return std::make_unique<Replay>(needs, model);
}

Section explain_replay(const ReplaySettings& s) {
  return {.title = "beside it: replay",
          .lines = {guerdon::str("L + ", s.weight,
                                 " x the sum of (score - starting score)^2 over the responses of ",
                                 s.rows.batch_size, " rows of replay.data in each step"),
                    "the starting scores are of the starting model, which stays in memory, frozen",
                    "replay/drift is the mean of (score - starting score)^2"}};
}

}  // namespace guerdon::train
