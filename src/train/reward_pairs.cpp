#include <ATen/ATen.h>

#include "guerdon/base/error.h"
#include "guerdon/train/dynamic_labels.h"
#include "train/reward_objective.h"

namespace guerdon::train {
namespace {

// Rows are (chosen, rejected), (chosen, rejected), ...
Tensor chosen_of(const Tensor& per_row) { return per_row.view({-1, 2}).select(1, 0); }
Tensor rejected_of(const Tensor& per_row) { return per_row.view({-1, 2}).select(1, 1); }

/// The columns of the pairs, which both of a pair's rows have.
Columns pair_columns(const Batch& batch) {
  Columns out;
  for (const auto& [name, values] : batch.columns) out[name] = chosen_of(values);
  return out;
}

/// Which of two responses people prefer (Bradley-Terry; Ouyang et al. 2022, arXiv:2203.02155, eq.
/// 1).
class Pairs final : public RewardObjective {
 public:
  explicit Pairs(const RewardSettings& settings) : options_(settings.loss) {
    options_.loss_type = settings.loss_type;
    if (settings.pairing == "across_prompts") ties_across_ = settings.pairing_ties;
    if (options_.dynamic_label_rate > 0.0) labels_.emplace();
    fields_ = loss::fields_of(options_);
    // What a peer keeps is told by how much of it is known to be labelled rightly.
    if (!settings.peer.model_name_or_path.empty()) fields_.push_back({.name = "clean"});
    buckets_ = settings.peer.buckets;
  }

  std::string unit() const override { return "pairs"; }
  bool feels_shifts() const override { return loss::feels_shifts(options_); }

  FeedOptions rows(const Words& words, const TruncationRule& cut) const override {
    return ties_across_ ? single_rows(words, cut) : pairs(words, cut);
  }

  // Half a pair for each of its two rows.
  Batch counted(Batch batch) const override {
    if (ties_across_) {
      const Tensor value = batch.columns.at("value").view({-1, 2});
      batch.columns["tie"] =
          (value.select(1, 0) == value.select(1, 1)).to(at::kDouble).repeat_interleave(2);
    }
    const auto pairs = static_cast<int64_t>(batch.group.size()) - 1;
    const loss::PairWeights weights = loss::pair_weights(pair_columns(batch), options_, pairs);
    batch.columns["counted"] = weights.all.repeat_interleave(2) / 2;
    batch.columns["ordered"] = weights.ordered.repeat_interleave(2) / 2;
    return batch;
  }

  Loss loss(const Tensor& outputs, const Batch& part, const Totals& whole) override {
    const loss::PairScores scores{chosen_of(outputs), rejected_of(outputs)};
    const Columns columns = pair_columns(part);
    if (labels_ && columns.count("label") > 0)
      labels_->propose(part, loss::moved_labels(scores, columns, options_));
    const Tensor difference = (scores.chosen - scores.rejected).detach();
    const double pairs = whole.columns.at("counted"), ordered = whole.columns.at("ordered");
    Tensor per_pair = loss::pair_loss(scores, columns, options_);
    if (const auto counts = columns.find("counts"); counts != columns.end())
      per_pair = per_pair * counts->second.to(per_pair.options());
    return {loss::share(per_pair, pairs),
            {{"accuracy", loss::share((difference > 0) * 2 * columns.at("ordered"), ordered)},
             {"margin", loss::share(difference * 2 * columns.at("counted"), pairs)}}};
  }

  void begin_step(Batch& batch) override {
    if (labels_) labels_->begin_step(batch);
  }
  void end_step() override {
    if (labels_) labels_->commit();
  }
  void parts(Parts& parts) override {
    if (labels_) parts.nested("dynamic", *labels_);
  }

  Explanation explanation() const override {
    const bool ties = options_.ties != "ignore";
    return {
        {.title = "loss of a pair", .lines = loss::explain(options_)},
        {.title = "divided by",
         .lines = {options_.row_weights
                       ? "P, the sum of the step's weights: L = sum over pairs / P"
                       : "P, the pairs of the whole optimizer step: L = sum over pairs / P",
                   ties
                       ? "margin is divided by P too, accuracy by the pairs that are no ties, "
                         "mean_reward by the responses"
                       : "accuracy and margin are divided by P too, mean_reward by its responses"}},
        {.title = "signs",
         .lines = {"L is minimised: a higher score means a better response",
                   "margin (the metric) = chosen - rejected, without the row's margin; accuracy "
                   "counts chosen > rejected",
                   feels_shifts()
                       ? "scores are kept around 0"
                       : "only differences of scores mean something: a constant added to all of "
                         "them changes nothing (center_rewards_coefficient keeps them around 0)"}},
    };
  }

 private:
  FeedOptions pairs(const Words& words, const TruncationRule& cut) const {
    return {.types = {data::DatasetType::preference},
            .needed = "preference pairs are",
            .encode =
                [&words, cut](const Example& example, EncodedRow& row) {
                  data::EncodedPair pair = words.encoder().reward_pair(example);
                  const data::Cut what = cut(pair);
                  row.sequences = {std::move(pair.chosen), std::move(pair.rejected)};
                  return what;
                },
            .fields = fields_,
            .ease_buckets = buckets_};
  }

  /// Responses that pairs are made of.
  FeedOptions single_rows(const Words& words, const TruncationRule& cut) const {
    return {.types = {data::DatasetType::unpaired_preference},
            .needed = "responses with labels (prompt, completion, label) are",
            .encode =
                [&words, cut](const Example& example, EncodedRow& row) {
                  row.sequences = {words.encoder().judged(example, 0)};
                  row.values = {example.responses[0].fields.boolean("label") ? 1.0 : 0.0};
                  return cut(row.sequences[0]);
                },
            .fields = fields_,
            .has_values = true,
            .ties_across = ties_across_};
  }

  loss::PairOptions options_;
  std::vector<loss::RowField> fields_;
  int64_t buckets_ = 0;                // of a curriculum
  std::optional<double> ties_across_;  // for pairs made across prompts
  std::optional<DynamicLabels> labels_;
};

}  // namespace

std::unique_ptr<RewardObjective> make_pair_objective(const RewardSettings& settings,
                                                     const std::string& where) {
  auto checked = settings.loss;
  checked.loss_type = settings.loss_type;
  loss::check_pair_options(checked, where);
  if (settings.pairing_ties > 0.0) {
    if (settings.pairing == "given")
      fail_settings(where, "key pairing_ties: does nothing while pairing is \"given\"");
    if (settings.loss.ties == "ignore")
      fail_settings(where, "key pairing_ties: needs to know what a tie is: ties");
  }
  if (settings.pairing != "given" && settings.freeze_body)
    fail_settings(where, "key freeze_body: keeps what it reads of given pairs, and pairing is " +
                             show(settings.pairing));
  if (settings.pairing != "given" && settings.peer.buckets > 0)
    fail_settings(where, "key peer.buckets: pairs made across prompts are others in each epoch");
  return std::make_unique<Pairs>(settings);
}

}  // namespace guerdon::train
