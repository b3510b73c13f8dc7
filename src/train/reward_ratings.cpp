#include <ATen/ATen.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "guerdon/base/error.h"
#include "train/reward_objective.h"

namespace guerdon::train {
namespace {

constexpr double kMasked = -100.0;  // how NeMo-Aligner's data says that there is no rating

/// What stands beside the response itself: "label" of the forms that have one, a number or a list.
std::vector<double> own_labels(const Fields& response) {
  if (!response.has("label")) return {};
  const Json& label = response.json().at("label");
  if (label.is_boolean()) return {label.get<bool>() ? 1.0 : 0.0};
  if (label.is_number()) return {response.number("label")};
  return response.numbers("label");
}

/// Ratings of a response, one number for each attribute (HelpSteer2; Wang et al. 2024,
/// arXiv:2406.08673).
class Ratings final : public RewardObjective {
 public:
  explicit Ratings(const RewardSettings& settings)
      : options_(settings.rating),
        attributes_(settings.attributes),
        weights_(settings.score_weights) {
    options_.loss_type = settings.loss_type;
    if (weights_.empty())
      weights_.assign(attributes_.size(), 1.0 / static_cast<double>(attributes_.size()));
  }

  std::string unit() const override { return "responses"; }
  std::optional<model::Readout> readout() const override {
    return model::Readout{
        .names = attributes_, .weights = weights_, .form = loss::number_form(options_)};
  }
  bool feels_shifts() const override { return true; }

  FeedOptions rows(const Words& words, const TruncationRule& cut) const override {
    FeedOptions out{
        .types = {data::DatasetType::prompt_completion, data::DatasetType::scored,
                  data::DatasetType::unpaired_preference, data::DatasetType::language_modeling},
        .needed = "rated responses are",
        .encode = [this, &words, cut](const Example& example, EncodedRow& row) {
          read_ratings(example, row.numbers);
          row.sequences = {words.encoder().judged(example, 0)};
          return cut(row.sequences[0]);
        }};
    for (const std::string& attribute : attributes_) out.fields.push_back({.name = attribute});
    return out;
  }

  Batch counted(Batch batch) const override {
    for (const std::string& attribute : attributes_) {
      batch.columns["rated/" + attribute] =
          batch.columns.at(attribute).isnan().logical_not().to(at::kDouble);
    }
    return batch;
  }

  Loss loss(const Tensor& outputs, const Batch& part, const Totals& whole) override {
    std::vector<Tensor> columns;
    double ratings = 0.0;
    for (const std::string& attribute : attributes_) {
      columns.push_back(part.columns.at(attribute));
      ratings += whole.columns.at("rated/" + attribute);
    }
    const Tensor rated = at::stack(columns, 1).to(outputs.options());
    Loss out{loss::share(loss::rating_loss(outputs, rated, options_), ratings), {}};
    const Tensor numbers = model::read_numbers(outputs.detach(), loss::number_form(options_)).value;
    const bool yes_or_no = options_.loss_type == "bce";
    const Tensor found = yes_or_no ? at::logical_and((numbers > 0) == (rated > 0.5), rated == rated)
                                   : loss::rating_loss(numbers, rated);
    for (size_t k = 0; k < attributes_.size(); ++k) {
      out.metrics.push_back({(yes_or_no ? "accuracy/" : "mse/") + attributes_[k],
                             loss::share(found.select(1, static_cast<int64_t>(k)).to(at::kDouble),
                                         whole.columns.at("rated/" + attributes_[k]))});
    }
    return out;
  }

  Explanation explanation() const override {
    std::string names;
    for (const std::string& name : readout()->labels()) names += (names.empty() ? "" : ", ") + name;
    return {
        {.title = "loss of a rating", .lines = loss::explain(options_)},
        {.title = "divided by",
         .lines = {"N, the ratings of the whole optimizer step: L = sum over ratings / N",
                   "a rating that is missing, null or -100 has no loss and does not count",
                   "mse/NAME is divided by the ratings of NAME, mean_reward by the responses"}},
        {.title = "outputs",
         .lines = {"of the head: " + names,
                   "the score that others read is the sum of the attributes' numbers with "
                   "score_weights"}},
    };
  }

 private:
  /// `numbers` holds the row's own fields already.
  void read_ratings(const Example& example, std::vector<double>& numbers) const {
    const std::vector<double> own = own_labels(example.responses[0].fields);
    if (!own.empty()) {
      if (own.size() != attributes_.size())
        fail_input(example.fields.where(),
                   guerdon::str("field \"label\" has ", own.size(), " numbers for ",
                                attributes_.size(), " attributes"));
      numbers = own;
    }
    bool any = false;
    for (double& number : numbers) {
      if (number == kMasked) number = std::numeric_limits<double>::quiet_NaN();
      any = any || number == number;
      check_range(example, number);
    }
    if (any) return;
    std::string wanted;
    for (const std::string& name : attributes_) wanted += (wanted.empty() ? "" : ", ") + show(name);
    fail_input(example.fields.where(), "has no rating (none of " + wanted + ")",
               "data.columns=[\"OURS=THEIRS\"] renames columns");
  }

  void check_range(const Example& example, double rating) const {
    const bool classes = options_.loss_type == "classes";
    if (!classes && options_.loss_type != "bce") return;
    const double low = classes ? options_.classes.front() : 0.0,
                 high = classes ? options_.classes.back() : 1.0;
    if (rating < low || rating > high)
      fail_input(example.fields.where(),
                 guerdon::str("a rating of ", rating, " lies outside [", low, ", ", high, "]"));
  }

  loss::RatingOptions options_;
  std::vector<std::string> attributes_;
  std::vector<double> weights_;
};

}  // namespace

std::unique_ptr<RewardObjective> make_rating_objective(const RewardSettings& s,
                                                       const std::string& where) {
  if (s.attributes.empty())
    fail_settings(where, "key attributes: must name the fields that " + s.loss_type + " learns",
                  "attributes=[\"helpfulness\"], for instance");
  if (std::set<std::string>(s.attributes.begin(), s.attributes.end()).size() != s.attributes.size())
    fail_settings(where, "key attributes: names a field twice");
  if (!s.score_weights.empty() && s.score_weights.size() != s.attributes.size())
    fail_settings(where, guerdon::str("key score_weights: has ", s.score_weights.size(),
                                      " weights for ", s.attributes.size(), " attributes"));
  auto checked = s.rating;
  checked.loss_type = s.loss_type;
  loss::check_rating_options(checked, where);
  return std::make_unique<Ratings>(s);
}

}  // namespace guerdon::train
