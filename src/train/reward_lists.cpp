#include <ATen/ATen.h>

#include <algorithm>

#include "guerdon/base/error.h"
#include "train/reward_objective.h"

namespace guerdon::train {
namespace {

/// Visits the lists of a batch: index, first row, scores' place and values.
template <class Visit>
void each_list(const Batch& batch, Visit&& visit) {
  const Tensor values = batch.columns.at("value").to(at::kDouble).contiguous();
  for (size_t list = 0; list + 1 < batch.group.size(); ++list) {
    const int64_t begin = batch.group[list], count = batch.group[list + 1] - begin;
    const double* first = values.const_data_ptr<double>() + begin;
    visit(begin, count, std::vector<double>(first, first + count));
  }
}

bool has_an_order(const std::vector<double>& values) {
  return std::any_of(values.begin(), values.end(), [&](double v) { return v != values[0]; });
}

/// Which of several responses is better than which.
class Lists final : public RewardObjective {
 public:
  explicit Lists(const RewardSettings& settings) : options_(settings.list) {
    options_.loss_type = settings.loss_type;
    options_.score_penalty = settings.loss.score_penalty;
  }

  std::string unit() const override { return "lists"; }
  bool feels_shifts() const override { return options_.score_penalty > 0.0; }

  FeedOptions rows(const Words& words, const TruncationRule& cut) const override {
    return {.types = {data::DatasetType::ranked},
            .needed = "ranked responses (prompt, responses, scores or ranks) are",
            .encode =
                [this, &words, cut](const Example& example, EncodedRow& row) {
                  check(example);
                  data::Cut worst = data::Cut::whole;
                  for (size_t i = 0; i < example.responses.size(); ++i) {
                    row.sequences.push_back(words.encoder().judged(example, i));
                    row.values.push_back(example.responses[i].fields.number("value"));
                    const data::Cut what = cut(row.sequences.back());
                    if (!data::is_kept(what)) return what;  // a list is used whole, or not
                    if (what == data::Cut::cut) worst = what;
                  }
                  return worst;
                },
            .has_values = true};
  }

  // Lists whose values are all equal say nothing and do not count.
  Batch counted(Batch batch) const override {
    Tensor counted = at::zeros({batch.group.back()}, at::kDouble);
    each_list(batch, [&](int64_t begin, int64_t, const std::vector<double>& values) {
      if (has_an_order(values)) counted[begin] = 1.0;
    });
    batch.columns["counted"] = counted;
    return batch;
  }

  Loss loss(const Tensor& outputs, const Batch& part, const Totals& whole) override {
    const Tensor scores = outputs.squeeze(-1);
    std::vector<Tensor> losses;
    double right = 0.0;
    each_list(part, [&](int64_t begin, int64_t count, const std::vector<double>& values) {
      const Tensor own = scores.narrow(0, begin, count);
      losses.push_back(loss::list_loss(own, values, options_));
      if (has_an_order(values)) right += loss::ordered_share(own, values);
    });
    const double lists = whole.columns.at("counted");
    return {loss::share(at::stack(losses), lists),
            {{"accuracy", loss::share(at::scalar_tensor(right, at::kDouble), lists)}}};
  }

  Explanation explanation() const override {
    return {
        {.title = "loss of a list", .lines = loss::explain(options_)},
        {.title = "divided by",
         .lines = {"P, the lists of the whole optimizer step: L = sum over lists / P; those whose "
                   "values are all equal do not count",
                   "accuracy, the share of a list's pairs in the right order, is divided by P too, "
                   "mean_reward by the responses"}},
        {.title = "signs",
         .lines = {"L is minimised: a higher score means a better response; a larger value of "
                   "`scores` and a smaller one of `ranks` do too"}},
    };
  }

 private:
  void check(const Example& example) const {
    const size_t k = example.responses.size(), weights = options_.chain_weights.size();
    if (weights == 0 || weights == k * (k - 1) / 2) return;
    fail_input(example.fields.where(),
               guerdon::str("has ", k, " responses, and chain_weights ", weights, " of their ",
                            k * (k - 1) / 2, " pairs"));
  }

  loss::ListOptions options_;
};

}  // namespace

std::unique_ptr<RewardObjective> make_list_objective(const RewardSettings& s,
                                                     const std::string& where) {
  const auto refuse = [&](bool given, const char* key, const char* of) {
    if (given)
      fail_settings(where, guerdon::str("key ", key, ": is of ", of, ", and loss_type is ",
                                        show(s.loss_type)));
  };
  const bool chain = s.loss_type == "ordered_chain";
  refuse(chain && s.list.list_temperature > 0.0, "list_temperature", "plackett_luce");
  refuse(!chain && !s.list.chain_weights.empty(), "chain_weights", "ordered_chain");
  refuse(!chain && s.loss.score_penalty > 0.0, "score_penalty", "pairs and ordered_chain");
  return std::make_unique<Lists>(s);
}

}  // namespace guerdon::train
