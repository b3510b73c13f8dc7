#include <ATen/ATen.h>

#include "guerdon/loss/listwise.h"
#include "train/reward_beside.h"

namespace guerdon::train {
namespace {

/// The objective's gradient is taken where the model tells the responses of a policy further apart
/// (MetaRM; Dou et al. 2024, arXiv:2405.00438): pairs that help both weigh more.
class Meta final : public Beside {
 public:
  Meta(const BesideNeeds& needs, const Trained& model)
      : options_(needs.settings.meta.lookahead),
        model_(model),
        feed_(side_settings(needs.settings.train, needs.settings.meta.rows), needs.where,
              judged_lists(needs, *model_)) {}

  std::string name() const override { return "meta"; }
  void collect(int64_t) override { batch_ = feed_.next(); }
  void gradients(const Batch& batch, Gradients& run, const Objective& objective) override {
    Term separation{.forward = [this](const Batch& part) -> Outputs {
                      return {.scores = model_->scores(part.sequences)};
                    },
                    .loss = [](const Outputs& out, const Batch& part,
                               const Totals& whole) { return loss(out.scores, part, whole, true); },
                    .is_loss = false};
    const auto climb = [&] {
      run.over(separation, batch_);
      // It is told as it was at the beginning of the step.
      separation.loss = [](const Outputs& out, const Batch& part, const Totals& whole) {
        return loss(out.scores, part, whole, false);
      };
    };
    std::vector<Tensor> trained;
    for (const Tensor& parameter : model_->parameters())
      if (parameter.requires_grad()) trained.push_back(parameter);
    gradients_ahead(trained, options_, climb, [&] { objective(batch); });
  }
  std::string fingerprint() const override { return feed_.fingerprint(); }
  void parts(Parts& parts) override { parts.nested("data", feed_); }

 private:
  static Loss loss(const Tensor& scores, const Batch& part, const Totals& whole, bool told) {
    std::vector<Tensor> apart;
    for (size_t g = 0; g + 1 < part.group.size(); ++g) {
      apart.push_back(
          loss::separation(scores.narrow(0, part.group[g], part.group[g + 1] - part.group[g])));
    }
    const Tensor value = loss::share(at::stack(apart), whole.groups);
    Loss out{value, {}};
    if (told) out.metrics.push_back({"meta/separation", value.detach()});
    return out;
  }

  LookaheadOptions options_;
  Trained model_;
  Feed feed_;
  Batch batch_;
};

}  // namespace

void describe(SettingList& field, MetaSettings& s) {
  describe(field, s.rows);
  field("step_size", s.lookahead.step_size,
        "Length of the step that tells these rows' responses further apart, per length of its "
        "gradient",
        {.above = 0.0});
  field("second_order", s.lookahead.second_order,
        "Take the gradient through that step too, at twice the price");
}

std::unique_ptr<Beside> make_meta(const BesideNeeds& needs, const Trained& model) {
  return std::make_unique<Meta>(needs, model);
}

Section explain_meta(const MetaSettings& s) {
  std::vector<std::string> lines = {
      guerdon::str("the gradient of L is taken at theta + ", s.lookahead.step_size,
                   " grad J(theta), and moves theta"),
      guerdon::str("J = the mean over the step's ", s.rows.batch_size,
                   " prompts of meta.data of 2 / k^2 sum_{i < j} sg(|r_i - r_j|), r the scores of "
                   "a prompt's k responses, sg the sigmoid"),
      "meta/separation is J, before the step"};
  if (s.lookahead.second_order)
    lines.emplace_back(
        "it goes through that step too: (I + step_size H) grad L, H of J, by central differences");
  return {.title = "beside it: meta-learning", .lines = lines};
}

}  // namespace guerdon::train
