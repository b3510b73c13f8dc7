#include "guerdon/train/features.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "guerdon/base/error.h"
#include "guerdon/data/model_folder.h"
#include "guerdon/data/vectors.h"
#include "guerdon/train/feed.h"
#include "train/refuse.h"
#include "train/reward_objective.h"

namespace guerdon::train {
namespace {

constexpr const char* kCorrection = "correction";
// Pairs whose scores are compared after each save.
constexpr int64_t kProbeGroups = 2;

bool corrects(const FeatureSettings& s) { return s.loss_type == kCorrection; }

/// What is learnt from pairs is what `train reward` learns from them.
std::unique_ptr<RewardObjective> pair_objective(const FeatureSettings& s,
                                                const std::string& where) {
  RewardSettings same;
  same.train = s.train;
  same.loss_type = s.loss_type;
  same.loss = s.loss;
  return make_pair_objective(same, where);
}

void check(const FeatureSettings& s, const std::string& where) {
  for (const auto& [name, given] :
       {std::pair("bf16", s.train.bf16),
        std::pair("gradient_checkpointing", s.train.gradient_checkpointing)}) {
    if (given)
      fail_settings(where, guerdon::str("key ", name,
                                        ": a model of stored vectors is too small to "
                                        "have that"));
  }
  if (corrects(s) && s.train.model_name_or_path.empty())
    fail_settings(where,
                  "key model_name_or_path: is missing (the similarity model that loss_type "
                  "correction is for)");
  if (corrects(s)) {
    refuse_changed(s.loss, where, "is of pairs, and loss_type is correction");
  } else {
    refuse_changed(s.correction, where, "is of loss_type correction");
  }
  if (!s.train.model_name_or_path.empty())
    refuse_changed(s.shape, where, "is of a new model, and model_name_or_path names one");
}

/// The model of the settings' folder, or nothing where a new one is to begin.
std::shared_ptr<model::FeatureModel> load(const FeatureSettings& s) {
  if (s.train.model_name_or_path.empty()) return nullptr;
  return model::load_feature_model(s.train.model_name_or_path);
}

/// The same once the rows have said how wide a vector is, with what is not trained frozen.
std::shared_ptr<model::FeatureModel> complete(std::shared_ptr<model::FeatureModel> model,
                                              const FeatureSettings& s,
                                              const data::VectorTable& table, bool feels_shifts) {
  const int64_t width = table.width();
  if (!model) {
    model =
        std::make_shared<model::FeatureModel>(s.shape, width, static_cast<uint64_t>(s.train.seed));
  } else if (model->width() != width) {
    fail_input(s.train.model_name_or_path, guerdon::str("reads vectors of ", model->width(),
                                                        " numbers, the rows' have ", width));
  }
  if (corrects(s)) {
    for (Tensor& parameter : model->parameters()) parameter.set_requires_grad(false);
    model->correct(s.correction);
    model->bias_direction().set_requires_grad(true);
  } else {
    if (model->bias_direction().defined()) model->bias_direction().set_requires_grad(false);
    if (model->shift().defined()) model->shift().set_requires_grad(feels_shifts);
  }
  return model;
}

/// A row's vectors are its tokens: their numbers in the table.
FeedOptions feed_options(const FeatureSettings& s, data::VectorTable& table, bool with_prompt) {
  loss::PairOptions options = s.loss;
  options.loss_type = s.loss_type;
  return {
      .types = {corrects(s) ? data::DatasetType::prompt_completion : data::DatasetType::preference},
      .needed = corrects(s) ? "prompts with one completion are" : "preference pairs are",
      .encode =
          [&table, with_prompt](const Example& example, EncodedRow& row) {
            for (size_t i = 0; i < example.responses.size(); ++i) {
              data::EncodedSequence sequence;
              if (with_prompt)
                sequence.tokens.push_back(table.number(example.fields, "prompt_vector"));
              sequence.tokens.push_back(
                  table.number(data::response_fields(example, i), data::kResponseVector));
              row.sequences.push_back(std::move(sequence));
            }
            return data::Cut::whole;
          },
      .share_prefixes = false,
      .fields = corrects(s) ? std::vector<loss::RowField>() : loss::fields_of(options)};
}

/// A small model learns which vectors people prefer, or what it likes by itself.
class FeatureTraining final : public Algorithm {
 public:
  FeatureTraining(const FeatureSettings& settings, const std::string& where)
      : objective_(corrects(settings) ? nullptr : pair_objective(settings, where)),
        model_(load(settings)),
        feed_(settings.train, where,
              feed_options(settings, table_,
                           (model_ ? model_->shape() : settings.shape).form == "similarity")) {
    model_ = complete(model_, settings, table_, objective_ && objective_->feels_shifts());
    const Batch first = *feed_.in_order("", 0);
    std::vector<int64_t> groups(
        static_cast<size_t>(std::min(kProbeGroups, static_cast<int64_t>(first.group.size()) - 1)));
    std::iota(groups.begin(), groups.end(), int64_t{0});
    probe_ = vectors(take(first, groups));
  }

  void parts(Parts& parts) override {
    parts.module("model", *model_);
    parts.nested("data", feed_);
    if (objective_) objective_->parts(parts);
  }
  Batch collect(int64_t) override {
    Batch batch = counted(feed_.next());
    if (objective_) objective_->begin_step(batch);
    return batch;
  }
  Outputs forward(const Batch& part) override {
    return {.scores = model_->scores(vectors(part)).unsqueeze(1)};
  }
  Loss loss(const Outputs& out, const Batch& part, const Totals& whole) override {
    const Tensor scores = out.scores.detach();
    Loss found = objective_ ? objective_->loss(out.scores, part, whole)
                            : Loss{loss::share(-out.scores, whole.rows), {}};
    found.metrics.insert(found.metrics.begin(), {{"min_reward", scores.min(), Metric::Merge::min},
                                                 {"mean_reward", loss::share(scores, whole.rows)},
                                                 {"max_reward", scores.max(), Metric::Merge::max}});
    return found;
  }
  void after_step(int64_t) override {
    if (objective_) objective_->end_step();
  }

  int64_t steps_per_epoch() const override { return feed_.steps_per_epoch(); }
  std::string data_fingerprint() const override {
    return feed_.fingerprint() + " " + table_.fingerprint();
  }
  std::vector<std::string> evaluation_sets() const override { return feed_.evaluation_sets(); }
  std::optional<Batch> evaluation(const std::string& set, int64_t index) override {
    std::optional<Batch> batch = feed_.evaluation(set, index);
    if (batch) batch = counted(std::move(*batch));
    return batch;
  }

  void save(NewFolder& folder) override { model::write_feature_model(folder, *model_); }
  void check_saved(const std::filesystem::path& folder) override {
    const at::NoGradGuard no_grad;
    const Tensor saved = model::load_feature_model(folder)->scores(probe_);
    if (!at::equal(saved, model_->scores(probe_)))
      fail_surroundings(folder.string(),
                        "the saved model does not give the scores of the model in "
                        "memory");
  }

 private:
  Batch counted(Batch batch) const {
    return objective_ ? objective_->counted(std::move(batch)) : batch;
  }
  /// [rows, vectors, width].
  Tensor vectors(const Batch& batch) const {
    const Tensor numbers = batch.sequences.tokens.to(at::kCPU, at::kLong).contiguous();
    std::vector<float> values =
        table_.read({numbers.const_data_ptr<int64_t>(), static_cast<size_t>(numbers.numel())});
    return at::tensor(values, at::kFloat)
        .view({batch.sequences.rows(), model_->vectors(), table_.width()});
  }

  std::unique_ptr<RewardObjective> objective_;  // of pairs; none for a correction
  std::shared_ptr<model::FeatureModel> model_;
  data::VectorTable table_;
  Feed feed_;
  Tensor probe_;
};

}  // namespace

void describe(SettingList& field, FeatureSettings& s) {
  describe(field, s.train);
  std::vector<std::string> loss_types = loss::pair_loss_types();
  loss_types.emplace_back(kCorrection);
  field("loss_type", s.loss_type,
        "What is learnt: pairs, as in train reward; or the direction that a similarity model likes "
        "too much",
        {.choices = loss_types});
  describe(field, s.loss);
  describe(field, s.shape);
  describe(field, s.correction);
}

Explanation explanation_of(const FeatureSettings& s, const std::string& where) {
  check(s, where);
  FeatureSettings copy = s;
  Explanation out;
  const std::string score =
      corrects(s) || s.shape.form == "similarity"
          ? "score = s cos(P(x), Q(y)) of the prompt's and the response's vectors"
          : guerdon::str("score = a network of ", s.shape.layers, " layers (", s.shape.activation,
                         ") over the response's vector");
  out.push_back({.title = "score", .lines = {score}});
  if (corrects(s)) {
    out.push_back({.title = "loss of a row",
                   .lines = {guerdon::str("-score, with P(x) replaced by e- + ", s.correction.omega,
                                          " (e+ - e-), e+- = norm(norm(P(x)) +- b)"),
                             "only b is trained"}});
    out.push_back({.title = "divided by", .lines = {"the rows of the whole optimizer step"}});
  } else {
    for (Section& section : pair_objective(s, where)->explanation())
      out.push_back(std::move(section));
  }
  out.push_back(explain_step(s.train, corrects(s) ? "rows" : "pairs"));
  out.push_back(explain_settings(settings_of(copy), {"loss_type", "form", "layers", "omega"}));
  return out;
}

Preview preview_of(const FeatureSettings& s, const std::string& where,
                   const PreviewOptions& options) {
  check(s, where);
  const std::unique_ptr<RewardObjective> objective =
      corrects(s) ? nullptr : pair_objective(s, where);
  std::shared_ptr<model::FeatureModel> model = load(s);
  data::VectorTable table;
  Preview out{.unit = corrects(s) ? "rows" : "pairs", .log_probs = false, .saved_is_opened = true};
  out.files =
      preview_files(s.train, where,
                    feed_options(s, table, (model ? model->shape() : s.shape).form == "similarity"),
                    options.rows);
  const std::filesystem::path folder =
      model ? data::model_folder(s.train.model_name_or_path) : std::filesystem::path();
  model = complete(model, s, table, objective && objective->feels_shifts());
  out.models.push_back({.role = "model", .folder = folder, .module = model});
  return out;
}

std::unique_ptr<Algorithm> make_features(const FeatureSettings& settings, const std::string& where,
                                         RunFolder&) {
  check(settings, where);
  return std::make_unique<FeatureTraining>(settings, where);
}

}  // namespace guerdon::train
