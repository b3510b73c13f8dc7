#include "guerdon/train/reward.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/log.h"
#include "guerdon/math/steps.h"
#include "train/frozen_body.h"
#include "train/refuse.h"
#include "train/reward_beside.h"
#include "train/reward_objective.h"

namespace guerdon::train {
namespace {

// Rows whose scores are compared after each save.
constexpr int64_t kProbeRows = 4;

std::optional<model::Pooling> pooling_of(const std::string& name) {
  if (name == "last") return model::Pooling::last;
  if (name == "cls") return model::Pooling::cls;
  if (name == "mean") return model::Pooling::mean;
  if (name == "pooler") return model::Pooling::pooler;
  return std::nullopt;
}

bool is_one_of(const std::string& name, const std::vector<std::string>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void refuse_pairing(const RewardSettings& s, const std::string& where) {
  if (s.pairing != "given")
    fail_settings(where, "key pairing: is of pairs, and loss_type is " + show(s.loss_type));
}

void refuse_attributes(const RewardSettings& s, const std::string& where) {
  for (const auto& [name, given] : {std::pair("attributes", !s.attributes.empty()),
                                    std::pair("score_weights", !s.score_weights.empty())}) {
    if (given)
      fail_settings(where, guerdon::str("key ", name, ": is of ratings, and loss_type is ",
                                        show(s.loss_type)));
  }
}

/// What these settings say; the model's own where they say nothing.
std::optional<model::Presentation> presentation_of(const RewardSettings& s) {
  const bool steps = s.loss_type == "stepwise";
  if (s.question.empty() && !steps) return std::nullopt;
  model::Presentation out{.question = s.question};
  if (steps) {
    out.step_separator = s.step_separator;
    out.step_reduction = s.step_reduction;
  }
  return out;
}

std::shared_ptr<model::RewardModel> load(const RewardSettings& s, const RewardObjective& objective,
                                         const std::string& path, uint64_t seed,
                                         at::Device device = at::kCPU) {
  model::ModelOptions options = model_options(s.train);
  options.device = device;
  const std::optional<model::Readout> readout = objective.readout();
  return model::load_reward_model(path, {.load = {.model = options},
                                         .new_head = true,
                                         .seed = seed,
                                         .pooling = pooling_of(s.pooling),
                                         .readout = readout,
                                         .contrast = s.contrast,
                                         .presentation = presentation_of(s),
                                         .merge_outputs = !readout,
                                         .replace_head = s.new_head});
}

/// A longer row would stop the run when its turn comes.
std::optional<int64_t> length_limit(const RewardSettings& s, const model::RewardModel& model) {
  const std::optional<int64_t> positions = model.position_limit();
  if (!positions || (s.max_length && *s.max_length <= *positions)) return s.max_length;
  log::info(guerdon::str(model.config().where, ": the model has ", *positions,
                         " positions; max_length is lowered to that"));
  return positions;
}

/// What adds the same number to every score cancels in a pair; only centring feels it. These are
/// the head's bias, and the bias of the norm whose output the head reads.
void freeze_shifts(model::RewardModel& model) {
  if (model.head_bias().defined()) model.head_bias().set_requires_grad(false);
  if (model.pooling() == model::Pooling::pooler) return;  // its tanh comes between
  const data::EncoderConfig* encoder = model.config().encoder();
  const std::string last =
      encoder ? guerdon::str("layer", encoder->layers - 1, ".mlp_output_norm") : "norm";
  for (auto& parameter : model.body().named_parameters())
    if (parameter.key() == last + ".bias") parameter.value().set_requires_grad(false);
}

TruncationRule truncation(const RewardSettings& settings, const model::RewardModel& model,
                          const std::string& where) {
  return {length_limit(settings, model), settings.truncation_mode, where};
}

bool feels_shifts(const RewardObjective& objective, const RewardSettings& settings) {
  return objective.feels_shifts() || besides_feel_shifts(settings);
}

uint64_t seed_of(const RewardSettings& settings) {
  return static_cast<uint64_t>(settings.train.seed);
}

BesideNeeds needs(const RewardSettings& settings, const std::string& where, const Words& words,
                  const TruncationRule& cut, RewardObjective& objective, Feed* feed,
                  at::Device device = at::kCPU) {
  return {settings,
          where,
          words,
          cut,
          objective,
          feed,
          [&settings, &objective, device](const std::string& path, uint64_t seed) {
            auto model = load(settings, objective, path, seed, device);
            if (!feels_shifts(objective, settings)) freeze_shifts(*model);
            return model;
          }};
}

/// A model with a head learns what its objective asks of it.
class RewardModelling final : public Algorithm {
 public:
  RewardModelling(const RewardSettings& settings, const std::string& where)
      : objective_(make_objective(settings, where)),
        folder_(model::model_folder(settings.train.model_name_or_path)),
        model_(load(settings, *objective_, settings.train.model_name_or_path, seed_of(settings))),
        words_(folder_, settings.chat_template_path, model_->encode_options()),
        cut_(truncation(settings, *model_, where)),
        feed_(settings.train, where, without_targets(objective_->rows(words_, cut_), *model_)),
        besides_(make_besides(needs(settings, where, words_, cut_, *objective_, &feed_), model_)) {
    if (!feels_shifts(*objective_, settings)) freeze_shifts(*model_);
    if (settings.freeze_body) frozen_.emplace(*model_, settings.train.per_device_train_batch_size);
    lora_ = add_lora(model_->body(), settings.lora, seed_of(settings));
    const Batch first = *feed_.in_order("", 0);
    std::vector<int64_t> groups;
    for (int64_t g = 0; g + 1 < static_cast<int64_t>(first.group.size()) && g < kProbeRows / 2;
         ++g) {
      groups.push_back(g);
    }
    probe_ = take(first, groups).sequences;
  }

  void parts(Parts& parts) override {
    parts.module("model", *model_);
    parts.nested("data", feed_);
    objective_->parts(parts);
    for (const auto& beside : besides_) parts.nested(beside->name(), *beside);
  }
  Batch collect(int64_t step) override {
    for (const auto& beside : besides_) beside->collect(step);
    Batch batch = ready(feed_.next(), "");
    objective_->begin_step(batch);
    return batch;
  }
  void gradients(const Batch& batch, Gradients& run) override {
    Beside::Objective all = [&](const Batch& rows) { run.over(term(), rows); };
    for (const auto& beside : besides_) {
      all = [&run, beside = beside.get(), within = std::move(all)](const Batch& rows) {
        beside->gradients(rows, run, within);
      };
    }
    all(batch);
  }
  Outputs forward(const Batch& part) override {
    return {.scores = frozen_ ? model_->outputs_of(part.columns.at("states"))
                              : model_->outputs(part.sequences)};
  }
  Loss loss(const Outputs& out, const Batch& part, const Totals& whole) override {
    const Tensor scores = model_->score_of(out.scores.detach());
    Loss found = objective_->loss(out.scores, part, whole);
    found.metrics.insert(found.metrics.begin(), {{"min_reward", scores.min(), Metric::Merge::min},
                                                 {"mean_reward", loss::share(scores, whole.rows)},
                                                 {"max_reward", scores.max(), Metric::Merge::max}});
    return found;
  }
  void after_step(int64_t) override {
    objective_->end_step();
    for (const auto& beside : besides_) beside->end_step();
  }

  int64_t steps_per_epoch() const override { return feed_.steps_per_epoch(); }
  std::string data_fingerprint() const override {
    std::string out = feed_.fingerprint();
    for (const auto& beside : besides_) {
      if (const std::string own = beside->fingerprint(); !own.empty()) out = sha256(out + own);
    }
    return out;
  }
  std::vector<std::string> evaluation_sets() const override { return feed_.evaluation_sets(); }
  std::optional<Batch> evaluation(const std::string& set, int64_t index) override {
    std::optional<Batch> batch = feed_.evaluation(set, index);
    if (batch) batch = ready(std::move(*batch), set);
    return batch;
  }
  void save(NewFolder& folder) override {
    if (lora_) return model::write_adapter(folder, *model_, "default", folder_.string());
    model::write_reward_model(folder, *model_, save_options(folder_, words_));
  }
  // Reward heads that were saved as noise are a known pain: the saved model must give the scores of
  // the one in memory.
  void check_saved(const std::filesystem::path& folder) override {
    if (lora_) return;
    // Both in float32, so that the bits can be compared.
    model::Backbone& body = model_->body();
    const model::ModelOptions options = body.options();
    model::ModelOptions exact = options;
    exact.compute = at::kFloat;
    body.set_options(exact);
    model::verify_saved(folder, *model_, probe_);
    body.set_options(options);
  }

 private:
  Batch ready(Batch batch, const std::string& set) {
    batch = objective_->counted(std::move(batch));
    if (frozen_) frozen_->add_states(batch, set);
    return batch;
  }

  std::unique_ptr<RewardObjective> objective_;
  std::filesystem::path folder_;
  std::shared_ptr<model::RewardModel> model_;
  Words words_;
  TruncationRule cut_;
  Feed feed_;
  std::optional<FrozenBody> frozen_;
  std::vector<std::unique_ptr<Beside>> besides_;
  PackedBatch probe_;
  bool lora_ = false;
};

}  // namespace

void describe(SettingList& field, RewardSettings& s) {
  describe(field, s.train);
  field("max_length", s.max_length, "Tokens of a prompt with a response; null: no limit",
        {.min = 2});
  field("truncation_mode", s.truncation_mode, "What becomes of longer pairs",
        {.choices = truncation_modes()});
  std::vector<std::string> loss_types = loss::pair_loss_types();
  for (const auto& more : {loss::list_loss_types(), loss::rating_loss_types()})
    loss_types.insert(loss_types.end(), more.begin(), more.end());
  loss_types.emplace_back("stepwise");
  field("loss_type", s.loss_type,
        "What is learnt: pairs, by the logistic or the normal distribution's function of the "
        "scores' difference; ranked lists; ratings; or whether each step is right",
        {.choices = loss_types});
  field("pairing", s.pairing,
        "Of what pairs are made: given by the rows; or of single responses with the label true and "
        "false, of one data.category, whatever their prompts",
        {.choices = {"given", "across_prompts"}});
  field("pairing_ties", s.pairing_ties,
        "across_prompts: ties of two responses with the label true, for each other pair",
        {.min = 0.0});
  describe(field, s.loss);
  describe(field, s.list);
  describe(field, s.rating);
  field("attributes", s.attributes,
        "Ratings: the fields that are learnt, each by outputs of its own");
  field("score_weights", s.score_weights,
        "Ratings: weights of the attributes in the score (empty: equal ones)");
  field("uncertainty", s.uncertainty,
        "Pairs: scores have a deviation beside them, which their difference is measured in (with "
        "probit), or which they are drawn by",
        {.choices = {"none", "scaled", "sampled"}});
  field("new_head", s.new_head, "Begin with a new head where the model has one already");
  field("contrast", s.contrast,
        "Two texts, as \"Yes\" and \"No\": a new head begins as the difference of their logits");
  field("question", s.question,
        "Asked about each response, with {prompt}, {response} and {FIELD} put in; kept with the "
        "model");
  field("step_separator", s.step_separator,
        "stepwise: what divides a solution into steps; kept with the model");
  field("step_reduction", s.step_reduction,
        "stepwise: how the steps' scores become one; kept with the model",
        {.choices = math::step_reductions()});
  field("pooling", s.pooling,
        "What the head reads: the last token, the first, their mean, or BERT's pooler; \"\": the "
        "model's own",
        {.choices = {"", "last", "cls", "mean", "pooler"}});
  field("freeze_body", s.freeze_body,
        "Train the head alone; what it reads of each row is computed once");
  field("chat_template_path", s.chat_template_path,
        "Jinja file or model folder whose chat template is used instead of the model's");
  field.group("contrastive", s.contrastive);
  field.group("meta", s.meta);
  field.group("peer", s.peer);
  field.group("replay", s.replay);
  field.group("sources", s.sources);
  field.group("lora", s.lora);
  field.group("ensemble", s.ensemble);
}

std::unique_ptr<RewardObjective> make_objective(const RewardSettings& s, const std::string& where) {
  check_besides(s, where);
  const bool ratings = is_one_of(s.loss_type, loss::rating_loss_types());
  const bool lists = is_one_of(s.loss_type, loss::list_loss_types());
  if (s.freeze_body && s.lora.r > 0)
    fail_settings(where, "key freeze_body: an adapter (lora.r) is of the body");
  const bool steps = s.loss_type == "stepwise";
  const bool pairs = !ratings && !lists && !steps;
  if (!s.contrast.empty() && s.contrast.size() != 2)
    fail_settings(where, "key contrast: must be two texts");
  const bool uncertain = s.uncertainty != "none";
  if (uncertain && !pairs)
    fail_settings(where, "key uncertainty: is of pairs, and loss_type is " + show(s.loss_type));
  const char* beside = !s.replay.rows.data.empty()          ? "replay"
                       : !s.meta.rows.data.empty()          ? "meta"
                       : s.sources.weighting != "uniform"   ? "sources"
                       : !s.peer.model_name_or_path.empty() ? "peer"
                                                            : nullptr;
  if (beside != nullptr && (uncertain || steps || s.ensemble.members > 1))
    fail_settings(where, guerdon::str("key ", beside,
                                      ": is beside one plain score for each response, not beside "
                                      "ensembles, uncertainty or steps"));
  if (s.ensemble.members == 1 && s.ensemble.row_share < 1.0)
    fail_settings(where, "key ensemble.row_share: is of ensembles, and ensemble.members is 1");
  const auto of_another = [&](const std::string& kind) {
    return "is of " + kind + ", and loss_type is " + show(s.loss_type);
  };
  if (!ratings) {
    loss::RatingOptions others = s.rating;
    if (uncertain) others.least_deviation = loss::RatingOptions().least_deviation;
    refuse_changed(others, where, of_another("ratings"));
    refuse_attributes(s, where);
  }
  if (!lists) refuse_changed(s.list, where, of_another("lists"));
  if (!pairs) {
    loss::PairOptions others = s.loss;
    if (lists) others.score_penalty = 0.0;  // a chain has one too
    refuse_changed(others, where, of_another("pairs"));
    refuse_pairing(s, where);
  }
  const auto member = [&](int64_t index) {
    if (ratings) return make_rating_objective(s, where);
    if (lists) return make_list_objective(s, where);
    if (steps) return make_step_objective(s, where);
    std::unique_ptr<RewardObjective> out = make_pair_objective(s, where);
    return uncertain ? make_uncertain_objective(std::move(out), s, index) : std::move(out);
  };
  if (s.ensemble.members == 1) return member(0);
  std::vector<std::unique_ptr<RewardObjective>> members;
  for (int64_t m = 0; m < s.ensemble.members; ++m) members.push_back(member(m));
  return make_ensemble_objective(std::move(members), s);
}

Explanation explanation_of(const RewardSettings& s, const std::string& where) {
  RewardSettings copy = s;
  const std::unique_ptr<RewardObjective> objective = make_objective(s, where);
  Explanation out = objective->explanation();
  for (Section& section : explain_besides(s)) out.push_back(std::move(section));
  out.push_back(explain_step(s.train, objective->unit()));
  out.push_back(explain_settings(settings_of(copy), {"loss_type", "center_rewards_coefficient",
                                                     "pooling", "max_length", "truncation_mode"}));
  return out;
}

Preview preview_of(const RewardSettings& settings, const std::string& where,
                   const PreviewOptions& options) {
  const std::unique_ptr<RewardObjective> objective = make_objective(settings, where);
  const std::shared_ptr<model::RewardModel> reward =
      load(settings, *objective, settings.train.model_name_or_path, seed_of(settings), at::kMeta);
  if (!feels_shifts(*objective, settings)) freeze_shifts(*reward);
  if (settings.freeze_body) FrozenBody(*reward, 1);
  if (settings.lora.r > 0) add_lora(reward->body(), settings.lora, 0);
  Preview out{.unit = objective->unit(),
              .body_is_frozen = settings.freeze_body,
              .log_probs = false,
              .saved_is_opened = settings.lora.r == 0};
  out.models.push_back({.role = "model",
                        .folder = model::model_folder(settings.train.model_name_or_path),
                        .module = reward,
                        .body = &reward->body()});
  const Words words(out.models[0].folder, settings.chat_template_path, reward->encode_options());
  const TruncationRule cut = truncation(settings, *reward, where);
  out.files = preview_files(settings.train, where,
                            without_targets(objective->rows(words, cut), *reward), options.rows);
  preview_besides(out, needs(settings, where, words, cut, *objective, nullptr, at::kMeta), *reward,
                  options.rows);
  if (reward->pooling() == model::Pooling::mean) {
    for (PreviewFile& file : out.files)
      for (model::PassSize& group : file.groups) group.targets = group.tokens;
  }
  return out;
}

std::unique_ptr<Algorithm> make_reward(const RewardSettings& settings, const std::string& where,
                                       RunFolder&) {
  return std::make_unique<RewardModelling>(settings, where);
}

}  // namespace guerdon::train
