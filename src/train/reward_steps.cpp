#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/data/steps.h"
#include "train/reward_objective.h"

namespace guerdon::train {
namespace {

/// Whether each step of a solution is right (process supervision: Lightman et al. 2023,
/// arXiv:2305.20050): the score of a beginning of the solution is the logit of its last step. Those
/// of one solution lie inside the longest, and are computed once.
class Steps final : public RewardObjective {
 public:
  explicit Steps(const RewardSettings& settings) : separator_(settings.step_separator) {}

  std::string unit() const override { return "solutions"; }
  bool feels_shifts() const override { return true; }

  FeedOptions rows(const Words& words, const TruncationRule& cut) const override {
    return {
        .types = {data::DatasetType::stepwise},
        .needed = "solutions in steps (prompt, completions, labels) are",
        .encode = [this, &words, cut](const Example& example,
                                      EncodedRow& row) { return encode(example, words, cut, row); },
        .has_values = true};
  }

  Batch counted(Batch batch) const override {
    batch.columns["counted"] = at::ones({batch.group.back()}, at::kDouble);
    return batch;
  }

  Loss loss(const Tensor& outputs, const Batch& part, const Totals& whole) override {
    const Tensor right = part.columns.at("value").to(outputs.options()).unsqueeze(1);
    const double steps = whole.columns.at("counted");
    const Tensor hit = (outputs.detach() > 0) == (right > 0.5);
    return {loss::share(loss::rating_loss(outputs, right, {.loss_type = "bce"}), steps),
            {{"accuracy", loss::share(hit.to(at::kDouble), steps)},
             {"right_steps", loss::share(right.to(at::kDouble), steps)}}};
  }

  Explanation explanation() const override {
    return {
        {.title = "loss of a step",
         .lines = loss::explain(loss::RatingOptions{.loss_type = "bce"})},
        {.title = "divided by",
         .lines = {"N, the steps of the whole optimizer step: L = sum over steps / N",
                   "accuracy is divided by N too; mean_reward is of all steps' scores"}},
        {.title = "signs",
         .lines = {"the rating is 1 for a step that is right; the score is its logit, and what "
                   "`score` gives, from sigmoid(score) of all steps, is in [0, 1]"}},
    };
  }

 private:
  data::Cut encode(const Example& example, const Words& words, const TruncationRule& cut,
                   EncodedRow& row) const {
    const Fields& fields = example.responses[0].fields;
    const std::vector<std::string> steps = fields.texts("steps");
    if (steps.empty()) fail_input(example.fields.where(), "has no step");
    const std::vector<std::string> texts =
        data::step_beginnings(std::span<const std::string>(steps), separator_);
    Example beginning = example;
    for (size_t k = 0; k < texts.size(); ++k) {
      beginning.responses[0].text = data::as_response(example.prompt, texts[k]);
      row.sequences.push_back(words.encoder().judged(beginning, 0));
      row.values.push_back(fields.json().at("labels")[k].get<bool>() ? 1.0 : 0.0);
    }
    // The longest decides: a solution is used whole, or not.
    data::EncodedSequence longest = row.sequences.back();
    const data::Cut what = cut(longest);
    return what == data::Cut::cut ? data::Cut::too_long : what;
  }

  std::string separator_;
};

}  // namespace

std::unique_ptr<RewardObjective> make_step_objective(const RewardSettings& s,
                                                     const std::string& where) {
  if (s.step_separator.empty()) fail_settings(where, "key step_separator: must not be empty");
  return std::make_unique<Steps>(s);
}

}  // namespace guerdon::train
