#include <ATen/ATen.h>

#include "guerdon/base/error.h"
#include "guerdon/base/random.h"
#include "guerdon/loss/uncertain.h"
#include "train/reward_objective.h"

namespace guerdon::train {
namespace {

/// Pairs whose responses have a deviation beside their score, from a second output: what the loss
/// reads are scores measured in it, or drawn by it.
class Uncertain final : public RewardObjective {
 public:
  Uncertain(std::unique_ptr<RewardObjective> pairs, const RewardSettings& settings, int64_t member)
      : pairs_(std::move(pairs)),
        form_{.name = "gaussian", .points = {}, .least_deviation = settings.rating.least_deviation},
        drawn_(settings.uncertainty == "sampled"),
        seed_(static_cast<uint64_t>(settings.train.seed)),
        member_(static_cast<uint64_t>(member)) {}

  std::string unit() const override { return pairs_->unit(); }
  bool feels_shifts() const override { return true; }  // the deviation's bias does
  FeedOptions rows(const Words& words, const TruncationRule& cut) const override {
    return pairs_->rows(words, cut);
  }
  std::optional<model::Readout> readout() const override {
    return model::Readout{.names = {"reward"}, .form = form_};
  }
  Batch counted(Batch batch) const override { return pairs_->counted(std::move(batch)); }

  Loss loss(const Tensor& outputs, const Batch& part, const Totals& whole) override {
    const model::Numbers numbers = model::read_numbers(outputs, form_);
    const auto eps = part.columns.find("eps");
    const bool draws = drawn_ && eps != part.columns.end();  // an evaluation does not
    const Tensor scores = draws    ? loss::drawn_scores(numbers, eps->second)
                          : drawn_ ? numbers.value
                                   : loss::scores_in_deviations(numbers);
    Loss out = pairs_->loss(scores, part, whole);
    out.metrics.push_back({"mean_deviation", loss::share(numbers.deviation.detach(), whole.rows)});
    return out;
  }

  // One draw for each response of each step.
  void begin_step(Batch& batch) override {
    pairs_->begin_step(batch);
    if (!drawn_) return;
    const Random random(seed_, Purpose::dropout, static_cast<uint64_t>(step_), member_);
    std::vector<double> eps;
    for (int64_t row = 0; row < batch.sequences.rows(); ++row)
      eps.push_back(random.normal(static_cast<uint64_t>(row)));
    batch.columns["eps"] = at::tensor(eps, at::kDouble);
  }
  void end_step() override {
    pairs_->end_step();
    ++step_;
  }
  void parts(Parts& parts) override {
    parts.nested("pairs", *pairs_);
    parts.integer("step", step_);
  }

  Explanation explanation() const override {
    Explanation out = pairs_->explanation();
    out.push_back(
        {.title = "scores",
         .lines = {guerdon::str("two outputs: mu, and s = softplus(raw) + ", form_.least_deviation),
                   drawn_ ? "chosen and rejected above are drawn: mu + s eps, eps normal"
                          : "chosen and rejected above are mu / sqrt(s_chosen^2 + s_rejected^2)",
                   "the score that others read is mu"}});
    return out;
  }

 private:
  std::unique_ptr<RewardObjective> pairs_;
  model::NumberForm form_;
  bool drawn_;
  uint64_t seed_, member_;
  int64_t step_ = 0;
};

}  // namespace

std::unique_ptr<RewardObjective> make_uncertain_objective(std::unique_ptr<RewardObjective> pairs,
                                                          const RewardSettings& settings,
                                                          int64_t member) {
  return std::make_unique<Uncertain>(std::move(pairs), settings, member);
}

}  // namespace guerdon::train
