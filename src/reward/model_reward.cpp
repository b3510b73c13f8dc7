#include "guerdon/reward/model_reward.h"

#include <ATen/ATen.h>

#include <limits>

#include "guerdon/base/error.h"
#include "guerdon/data/encode.h"
#include "guerdon/data/steps.h"
#include "guerdon/math/steps.h"
#include "guerdon/model/lora.h"
#include "guerdon/model/reward_model.h"
#include "guerdon/model/tensor_file.h"
#include "guerdon/text/chat_template.h"
#include "guerdon/text/tokenizer.h"

namespace guerdon {
namespace {

Tensor unknown(at::IntArrayRef sizes) {
  return at::full(sizes, std::numeric_limits<float>::quiet_NaN(), at::kFloat);
}

}  // namespace

struct ModelReward::Loaded {
  explicit Loaded(const Options& o)
      : models(load(o)),
        presentation(presentation_of(*models.front(), o)),
        folder(data::find_model(o.path).folder),
        tokenizer(text::Tokenizer::load(folder)) {
    if (text::ChatTemplate::exists(folder)) chat_template = text::ChatTemplate::load(folder);
    if (!o.centroids.empty()) {
      const model::TensorFile file(o.centroids);
      std::vector<Tensor> all;
      for (const data::TensorEntry& entry : file.entries()) {
        const Tensor some = file.load(entry.name).to(at::kFloat);
        const int64_t hidden = first().body().hidden_size();
        if (some.dim() != 2 || some.size(1) != hidden)
          fail_input(o.centroids, guerdon::str("tensor ", show(entry.name), ": has shape ",
                                               some.sizes(), ", [K, ", hidden, "] is needed"));
        all.push_back(some);
      }
      if (all.empty()) fail_input(o.centroids, "holds no tensors");
      centroids = at::cat(all);
    }
    encoder.emplace(tokenizer, chat_template ? &*chat_template : nullptr, first().encode_options());
    if (!o.combine.empty()) combination = combination_of(o);
    if (!o.combine.empty() && models.size() == 1 && first().readout().members == 1)
      fail_settings("reward model", "key combine: " + o.path + " is no ensemble");
    if (!o.centroids.empty() && models.size() > 1)
      fail_settings("reward model", "key centroids: adapters have states of their own");
  }

  static model::MemberOptions combination_of(const Options& o) {
    return {.combine = o.combine,
            .deviation_weight = o.deviation_weight,
            .nominal_weight = o.nominal_weight};
  }
  static std::vector<std::shared_ptr<model::RewardModel>> load(const Options& o) {
    model::RewardLoadOptions options{.weights = o.weights};
    if (o.bf16) options.load.model.compute = at::kBFloat16;
    if (!o.combine.empty()) options.combination = combination_of(o);
    if (!o.contrast.empty() && o.contrast.size() != 2)
      fail_settings("reward model", "key contrast: must be two texts");
    options.contrast = o.contrast;
    if (o.adapters.empty()) return {model::load_reward_model(o.path, options)};
    std::vector<std::filesystem::path> paths{o.path};
    paths.insert(paths.end(), o.adapters.begin(), o.adapters.end());
    return model::load_adapted_ensemble(paths, options);
  }

  /// The model's own, with what the settings change.
  static model::Presentation presentation_of(model::RewardModel& first, const Options& o) {
    model::Presentation out = first.presentation();
    if (!o.question.empty()) out.question = o.question;
    if (!o.step_reduction.empty()) out.step_reduction = o.step_reduction;
    const bool of_steps = !o.step_reduction.empty() || o.step_shape != "none";
    if (of_steps && out.step_separator.empty())
      fail_settings("reward model", "key step_reduction: " + o.path + " scores no steps");
    first.set_presentation(out);
    return out;
  }

  const model::RewardModel& first() const { return *models.front(); }
  bool scores_steps() const { return !presentation.step_separator.empty(); }

  /// What the model reads of a rollout: one sequence, or one for each step.
  std::vector<std::vector<int64_t>> read(const Rollout& rollout) const {
    const Example row = judged_row(rollout);
    if (!scores_steps()) return {encoder->judged(row, 0).tokens};
    std::vector<std::vector<int64_t>> out;
    for (const std::string& text :
         data::step_beginnings(rollout.text, presentation.step_separator)) {
      Example beginning = row;
      beginning.responses[0].text = data::as_response(row.prompt, text);
      out.push_back(encoder->judged(beginning, 0).tokens);
    }
    return out;
  }
  /// With the states that one model's head read; several have their own.
  std::pair<model::Judgement, Tensor> judge(const PackedBatch& batch) const {
    if (models.size() == 1) {
      model::RewardModel& one = *models.front();
      const Tensor states = one.states(batch);
      return {model::judge(one.outputs_of(states), one.readout()), states};
    }
    const auto names = model::member_names(static_cast<int64_t>(models.size()));
    std::vector<Tensor> scores;
    for (size_t m = 0; m < models.size(); ++m) {
      model::use_adapter(models[m]->body(), names[m]);
      scores.push_back(models[m]->scores(batch));
    }
    return {model::judge_members({at::stack(scores, 1), {}}, names, combination), {}};
  }

  std::vector<std::shared_ptr<model::RewardModel>> models;  // several: adapters on one body
  model::MemberOptions combination;                         // of these
  model::Presentation presentation;
  std::filesystem::path folder;  // with tokenizer and chat template
  text::Tokenizer tokenizer;
  std::optional<text::ChatTemplate> chat_template;
  std::optional<data::Encoder> encoder;
  Tensor centroids;  // [all of them, hidden], or undefined
};

ModelReward::ModelReward(const Options& options) : options_(options) {
  if (options.path.empty())
    fail_settings("reward model", "key path: must name a reward model's folder or run");
  if (options.centroids.empty() != !options.max_distance)
    fail_settings("reward model", "keys centroids and max_distance: belong together");
  loaded_ = std::make_unique<Loaded>(options);
}

ModelReward::~ModelReward() = default;

/// What fits into the model's positions. Throws Error (Kind::input).
void ModelReward::fit(std::vector<int64_t>& ids) const {
  if (ids.empty()) fail_input("", "prompt and response have no tokens");
  const auto longest =
      loaded_->first().position_limit().value_or(std::numeric_limits<int64_t>::max());
  const int64_t past = static_cast<int64_t>(ids.size()) - longest;
  if (past <= 0) return;
  if (!options_.truncate || longest < 2)
    fail_input("", guerdon::str("prompt and response have ", ids.size(),
                                " tokens, the reward model has positions for ", longest,
                                " (\"truncate\": true cuts off their beginning)"));
  ids.erase(ids.begin() + 1, ids.begin() + 1 + past);  // a first [CLS] or BOS stays
}

/// The logits of solutions' steps as their scores; notes list the probabilities.
void ModelReward::score_steps(const Tensor& logits, const std::vector<int64_t>& rows,
                              Scores& out) const {
  const Tensor q = logits.to(at::kCPU, at::kDouble).sigmoid().contiguous();
  for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    std::vector<double> steps;
    std::string note;
    for (; end < rows.size() && rows[end] == rows[begin]; ++end) {
      steps.push_back(q.const_data_ptr<double>()[end]);
      note += guerdon::str(note.empty() ? "steps: " : ", ", steps.back());
    }
    out.notes[static_cast<size_t>(rows[begin])] = note;
    const std::vector<double> shaped =
        math::shape_steps(steps, options_.step_shape, options_.step_eta);
    out.total[rows[begin]] = math::reduce_steps(shaped, loaded_->presentation.step_reduction);
  }
}

Scores ModelReward::score(const RewardBatch& batch) {
  const auto n = static_cast<int64_t>(batch.rollouts.size());
  Scores out;
  out.total = unknown({n});
  const Tensor& centroids = loaded_->centroids;
  if (centroids.defined()) out.weight = at::ones({n});
  const auto put = [&](Tensor& column, const Tensor& at, const Tensor& values) {
    if (!values.defined()) return;
    if (!column.defined()) column = unknown({n, values.size(1)});
    column.index_copy_(0, at, values.to(at::kCPU, at::kFloat));
  };
  each_pass(batch, out, [&](const std::vector<int64_t>& rows, const PackedBatch& pass) {
    const auto [judged, states] = loaded_->judge(pass);
    if (loaded_->scores_steps()) return score_steps(judged.score, rows, out);
    const Tensor at = at::tensor(rows, at::kLong);
    out.total.index_copy_(0, at, judged.score.to(at::kCPU, at::kFloat));
    out.names = judged.names;
    put(out.components, at, judged.numbers);
    put(out.deviation, at, judged.deviation);
    if (!centroids.defined()) return;
    const Tensor nearest = at::cdist(states.to(at::kCPU), centroids).amin(1);
    out.weight.index_copy_(0, at, (nearest <= *options_.max_distance).to(at::kFloat));
  });
  return out;
}

Tensor ModelReward::states(const RewardBatch& batch) {
  Scores verdicts;
  Tensor out = at::empty(
      {static_cast<int64_t>(batch.rollouts.size()), loaded_->first().body().hidden_size()});
  each_pass(batch, verdicts, [&](const std::vector<int64_t>& rows, const PackedBatch& pass) {
    const Tensor found = loaded_->models.front()->states(pass).to(at::kCPU);
    for (size_t i = 0; i < rows.size(); ++i) out[rows[i]] = found[static_cast<int64_t>(i)];
  });
  for (size_t i = 0; i < verdicts.verdicts.size(); ++i) {
    if (verdicts.verdicts[i] == Verdict::scored) continue;
    const auto& example = batch.rollouts[i].example;
    fail_input(example ? example->fields.where() : std::string(), verdicts.notes[i]);
  }
  return out;
}

/// Calls `visit` with the sequences of some rows, until all are there that can be judged; the
/// others have verdict and note in `scores`. A row of steps has a sequence for each, one after the
/// other.
void ModelReward::each_pass(const RewardBatch& batch, Scores& scores, const Visit& visit) {
  const at::NoGradGuard no_gradient;
  scores.verdicts.assign(batch.rollouts.size(), Verdict::scored);
  scores.notes.resize(batch.rollouts.size());
  const bool share = loaded_->first().body().shares_prefixes();

  // Whole groups, as many as fit into a pass.
  std::vector<Sequence> sequences;
  std::vector<int64_t> rows, groups = {0};
  int64_t tokens = 0;
  const auto flush = [&] {
    if (sequences.empty()) return;
    visit(rows, pack(sequences, groups, {.share_prefixes = share}));
    sequences.clear(), rows.clear(), groups = {0}, tokens = 0;
  };
  for (size_t g = 0; g + 1 < batch.groups.size(); ++g) {
    for (int64_t i = batch.groups[g]; i < batch.groups[g + 1]; ++i) {
      const auto at = static_cast<size_t>(i);
      try {
        std::vector<std::vector<int64_t>> read = loaded_->read(batch.rollouts[at]);
        for (std::vector<int64_t>& ids : read) fit(ids);
        if (read.empty()) {
          scores.verdicts[at] = Verdict::no_opinion;
          scores.notes[at] = "the response has no step";
        }
        for (std::vector<int64_t>& ids : read) {
          tokens += static_cast<int64_t>(ids.size());
          sequences.push_back({.tokens = std::move(ids)});
          rows.push_back(i);
        }
      } catch (const Error& e) {
        scores.verdicts[at] = Verdict::failed;
        scores.notes[at] = e.what();
      }
    }
    if (static_cast<int64_t>(sequences.size()) > groups.back())
      groups.push_back(static_cast<int64_t>(sequences.size()));
    if (tokens >= options_.batch_tokens) flush();
  }
  flush();
}

void describe(SettingList& field, ModelReward::Options& o) {
  field("path", o.path, "Folder of the reward model, or of the run that made it");
  field("adapters", o.adapters,
        "More runs that are adapters of the same model: an ensemble whose body is in memory once");
  field(
      "contrast", o.contrast,
      "Two texts, as \"Yes\" and \"No\": the score is the difference of their logits in a language "
      "model");
  field("question", o.question,
        "Asked about each response, with {prompt}, {response} and {FIELD} put in (\"\": the "
        "model's)");
  std::vector<std::string> reductions = math::step_reductions();
  reductions.insert(reductions.begin(), "");
  field("step_reduction", o.step_reduction,
        "How the scores of a solution's steps become one (\"\": as the model says)",
        {.choices = reductions});
  field("step_shape", o.step_shape,
        "What is made of them before: with \"sum\", rewards that repeating steps cannot raise",
        {.choices = math::step_shapes()});
  field("step_eta", o.step_eta, "clip: the score up to which a step costs something");
  field("batch_tokens", o.batch_tokens, "Tokens of one forward pass; no effect on the scores",
        {.min = 1});
  field("bf16", o.bf16, "Compute in bfloat16");
  field("weights", o.weights,
        "Of the numbers of a head that has several, in the score (empty: those of the model)");
  std::vector<std::string> combinations = model::member_combinations();
  combinations.insert(combinations.begin(), "");
  field("combine", o.combine, "How an ensemble's scores become one (\"\": as the model says)",
        {.choices = combinations});
  field("deviation_weight", o.deviation_weight,
        "mean_minus_deviation: how many standard deviations are taken off", {.min = 0.0});
  field("nominal_weight", o.nominal_weight,
        "robust: weight of the surest member's score; the rest is of the lowest",
        {.min = 0.0, .max = 1.0});
  field("centroids", o.centroids,
        "Safetensors file of `eval probe`: where the states of known responses lie");
  field("max_distance", o.max_distance,
        "From the nearest centroid; responses past it get weight 0: no update is made of them",
        {.min = 0});
  field(
      "truncate", o.truncate,
      "Cut off the beginning of texts that are longer than the model's table of positions, but for "
      "the first token, instead of failing them");
}

}  // namespace guerdon
