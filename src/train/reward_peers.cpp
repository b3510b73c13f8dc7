#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "guerdon/base/error.h"
#include "guerdon/loss/peers.h"
#include "train/reward_beside.h"

namespace guerdon::train {
namespace {

/// A second model learns from the same rows; each keeps the pairs that the other finds right
/// (Collaborative Reward Modeling; Zhang et al. 2025, arXiv:2505.10597). What one has learnt by
/// heart of a wrong label the other has not.
class Peers final : public Beside {
 public:
  Peers(const BesideNeeds& needs, const Trained& model)
      : settings_(needs.settings.peer),
        objective_(needs.objective),
        model_(model),
        peer_(needs.load(settings_.model_name_or_path,
                         static_cast<uint64_t>(needs.settings.train.seed) + 1)),
        feed_(*needs.feed),
        steps_(total_steps(needs.settings.train, feed_.steps_per_epoch())),
        max_grad_norm_(needs.settings.train.max_grad_norm),
        ease_(at::zeros({settings_.buckets > 0 ? feed_.rows() : 0}, at::kDouble)) {
    const bool same =
        peer_->head_weight().sizes() == model_->head_weight().sizes() &&
        at::equal(peer_->head_weight().to(at::kFloat), model_->head_weight().to(at::kFloat));
    if (same)
      fail_settings(needs.where,
                    "key peer.model_name_or_path: its head is that of model_name_or_path: two "
                    "models that are the same keep the same pairs",
                    "take a model without a head (each gets one of its own), or another one");
    add_lora(peer_->body(), needs.settings.lora,
             static_cast<uint64_t>(needs.settings.train.seed) + 1);
  }

  std::string name() const override { return "peer"; }
  void collect(int64_t step) override {
    step_ = step;
    if (settings_.buckets == 0 || feed_.epoch() == 0) return;
    if (feed_.position() == 0) ease_ = margins_of_all();
    // Told again after a resume too.
    if (feed_.position() == 0 || !told_)
      feed_.easy_first({ease_.data_ptr<double>(), ease_.data_ptr<double>() + ease_.numel()});
    told_ = true;
  }
  void gradients(const Batch& batch, Gradients& run, const Objective& objective) override {
    const Tensor margins =
        run.outputs([this](const Batch& part) -> Outputs { return {.scores = margins_of(part)}; },
                    batch)
            .scores;
    const double rate = loss::keep_rate(settings_.noise, settings_.warmup, step_, steps_);
    const Tensor for_model = loss::kept_by_peer(margins.select(1, 1), rate),
                 for_peer = loss::kept_by_peer(margins.select(1, 0), rate);
    tell(run, batch, for_model, rate);

    objective(counted(batch, counts_of(for_model)));
    run.over({.forward = [this](const Batch& part) -> Outputs {
                return {.scores = peer_->outputs(part.sequences)};
              },
              .loss = [this](const Outputs& out, const Batch& part,
                             const Totals& whole) { return loss(out.scores, part, whole); },
              .is_loss = false},
             counted(batch, counts_of(for_peer)));
  }
  void parts(Parts& parts) override {
    // With a limit of its own it is clipped by itself: neither's gradient shortens the other's.
    parts.module("model", *peer_, {.max_grad_norm = max_grad_norm_});
    if (settings_.buckets > 0) parts.tensor("ease", ease_);
  }

 private:
  /// [pairs, 2]: chosen - rejected by the model and by the peer.
  Tensor margins_of(const Batch& part) const {
    const Tensor scores =
        at::cat({model_->outputs(part.sequences), peer_->outputs(part.sequences)}, 1)
            .view({-1, 2, 2});
    return scores.select(1, 0) - scores.select(1, 1);
  }

  /// Of all training pairs, the mean of both models, in the order of their index.
  Tensor margins_of_all() const {
    const at::NoGradGuard no_grad;
    std::vector<Tensor> margins;
    for (int64_t i = 0; const auto batch = feed_.in_order("", i); ++i)
      margins.push_back(margins_of(*batch).mean(1));
    return at::cat(margins).to(at::kCPU, at::kDouble).contiguous();
  }

  /// How much each row of the pairs counts, so that the mean is over those that are kept.
  static Tensor counts_of(const Tensor& kept) {
    const Tensor counts = kept.to(at::kDouble);
    const double share = counts.sum().item<double>() / static_cast<double>(kept.numel());
    return (share > 0.0 ? counts / share : counts).repeat_interleave(2);
  }

  Loss loss(const Tensor& outputs, const Batch& part, const Totals& whole) const {
    Loss out = objective_.loss(outputs, part, whole);
    for (Metric& metric : out.metrics) metric.name = "peer/" + metric.name;
    out.metrics.push_back({"peer/loss", out.value.detach()});
    return out;
  }

  static void tell(Gradients& run, const Batch& batch, const Tensor& kept, double rate) {
    run.add({"peer/keep_rate", at::scalar_tensor(rate, at::kDouble)});
    const Tensor clean = batch.columns.at("clean").view({-1, 2}).select(1, 0).masked_select(kept);
    const Tensor known = clean.masked_select(clean.isnan().logical_not());
    if (known.numel() > 0) run.add({"peer/clean", known.mean()});
  }

  const PeerSettings& settings_;
  RewardObjective& objective_;
  Trained model_, peer_;
  Feed& feed_;
  int64_t steps_, step_ = 0;
  double max_grad_norm_;
  Tensor ease_;  // [rows] float64, of the epoch
  bool told_ = false;
};

}  // namespace

void describe(SettingList& field, PeerSettings& s) {
  field("model_name_or_path", s.model_name_or_path,
        "Folder of a second model, which learns beside the first and is thrown away; a model "
        "without a head may be the first's too (\"\": off)");
  field("noise", s.noise, "Share of the pairs of a step that each model keeps the other from",
        {.min = 0.0, .below = 1.0});
  field("warmup", s.warmup, "Share of all steps until that many are left out",
        {.min = 0.0, .max = 1.0});
  field("buckets", s.buckets,
        "From the second epoch on pairs come from easy to hard, by both models' mean margin when "
        "the epoch begins, in so many buckets, shuffled within each (0: by chance)",
        {.min = 0});
}

std::unique_ptr<Beside> make_peers(const BesideNeeds& needs, const Trained& model) {
  return std::make_unique<Peers>(needs, model);
}

Section explain_peers(const PeerSettings& s) {
  Section out{
      .title = "beside it: a peer",
      .lines = {"L of each of two models is over the pairs of the step that the other keeps: "
                "those with its largest chosen - rejected",
                guerdon::str("1 - ", s.noise, " min(1, step / (", s.warmup,
                             " x all steps)) of them, rounded up: peer/keep_rate"),
                "peer/clean is the share of kept pairs whose field clean is true; peer/loss, "
                "peer/accuracy are of the second model, whose gradient is clipped by itself",
                "the step's rows are read a second time for it, by both"}};
  if (s.buckets > 0)
    out.lines.push_back(
        guerdon::str("epochs after the first go from pairs with a large margin to "
                     "those with a small one, in ",
                     s.buckets, " buckets"));
  return out;
}

}  // namespace guerdon::train
