#include "guerdon/reward/model_reward.h"

#include <ATen/ATen.h>

#include <limits>

#include "guerdon/base/error.h"
#include "guerdon/data/encode.h"
#include "guerdon/model/reward_model.h"
#include "guerdon/model/tensor_file.h"
#include "guerdon/text/chat_template.h"
#include "guerdon/text/tokenizer.h"

namespace guerdon {

struct ModelReward::Loaded {
  explicit Loaded(const Options& options)
      : model(model::load_reward_model(
            options.path, {.load = {.model = {.compute = options.bf16 ? at::kBFloat16
                                                                      : at::ScalarType::Undefined}},
                           .weights = options.weights})),
        folder(data::find_model(options.path).folder),
        tokenizer(text::Tokenizer::load(folder)) {
    if (text::ChatTemplate::exists(folder)) chat_template = text::ChatTemplate::load(folder);
    if (!options.centroids.empty()) {
      const model::TensorFile file(options.centroids);
      std::vector<Tensor> all;
      for (const data::TensorEntry& entry : file.entries()) {
        const Tensor some = file.load(entry.name).to(at::kFloat);
        const int64_t hidden = model->body().hidden_size();
        if (some.dim() != 2 || some.size(1) != hidden)
          fail_input(options.centroids,
                     guerdon::str("tensor ", show(entry.name), ": has shape ", some.sizes(),
                                  ", [K, ", hidden, "] is needed"));
        all.push_back(some);
      }
      if (all.empty()) fail_input(options.centroids, "holds no tensors");
      centroids = at::cat(all);
    }
    encoder.emplace(tokenizer, chat_template ? &*chat_template : nullptr,
                    data::EncodeOptions{.append_eos = model->config().decoder() != nullptr});
  }

  std::shared_ptr<model::RewardModel> model;
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

Scores ModelReward::score(const RewardBatch& batch) {
  const auto n = static_cast<int64_t>(batch.rollouts.size());
  Scores out;
  out.total = at::full({n}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);
  const model::RewardModel& model = *loaded_->model;
  const auto outputs = static_cast<int64_t>(model.head().labels.size());
  if (outputs > 1) {
    out.names = model.head().labels;
    out.components = at::full({n, outputs}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);
  }
  const Tensor& centroids = loaded_->centroids;
  if (centroids.defined()) out.weight = at::ones({n});
  each_pass(batch, out, [&](const Tensor& rows, const Tensor& states) {
    const Tensor values = model.outputs_of(states);
    out.total.index_copy_(0, rows, model.score_of(values).to(at::kCPU, at::kFloat));
    if (outputs > 1) out.components.index_copy_(0, rows, values.to(at::kCPU, at::kFloat));
    if (!centroids.defined()) return;
    const Tensor nearest = at::cdist(states.to(at::kCPU), centroids).amin(1);
    out.weight.index_copy_(0, rows, (nearest <= *options_.max_distance).to(at::kFloat));
  });
  return out;
}

Tensor ModelReward::states(const RewardBatch& batch) {
  Scores verdicts;
  Tensor out = at::empty(
      {static_cast<int64_t>(batch.rollouts.size()), loaded_->model->body().hidden_size()});
  each_pass(batch, verdicts, [&](const Tensor& rows, const Tensor& states) {
    out.index_copy_(0, rows, states.to(at::kCPU));
  });
  for (size_t i = 0; i < verdicts.verdicts.size(); ++i) {
    if (verdicts.verdicts[i] == Verdict::scored) continue;
    const auto& example = batch.rollouts[i].example;
    fail_input(example ? example->fields.where() : std::string(), verdicts.notes[i]);
  }
  return out;
}

/// Calls `visit` with the states of some rows, until all are there that can be judged; the others
/// have verdict and note in `scores`.
void ModelReward::each_pass(const RewardBatch& batch, Scores& scores, const Visit& visit) {
  const at::NoGradGuard no_gradient;
  scores.verdicts.assign(batch.rollouts.size(), Verdict::scored);
  scores.notes.resize(batch.rollouts.size());
  const int64_t longest =
      loaded_->model->position_limit().value_or(std::numeric_limits<int64_t>::max());
  const bool share = loaded_->model->body().shares_prefixes();

  // Whole groups, as many as fit into a pass.
  std::vector<Sequence> sequences;
  std::vector<int64_t> rows, groups = {0};
  int64_t tokens = 0;
  const auto flush = [&] {
    if (sequences.empty()) return;
    const PackedBatch packed = pack(sequences, groups, {.share_prefixes = share});
    visit(at::tensor(rows, at::kLong), loaded_->model->states(packed));
    sequences.clear(), rows.clear(), groups = {0}, tokens = 0;
  };
  for (size_t g = 0; g + 1 < batch.groups.size(); ++g) {
    for (int64_t i = batch.groups[g]; i < batch.groups[g + 1]; ++i) {
      const auto at = static_cast<size_t>(i);
      try {
        std::vector<int64_t> ids =
            loaded_->encoder->judged(judged_row(batch.rollouts[at]), 0).tokens;
        if (ids.empty()) fail_input("", "prompt and response have no tokens");
        const int64_t past = static_cast<int64_t>(ids.size()) - longest;
        if (past > 0 && options_.truncate && longest > 1) {
          ids.erase(ids.begin() + 1, ids.begin() + 1 + past);  // a first [CLS] or BOS stays
        } else if (past > 0) {
          fail_input("", guerdon::str("prompt and response have ", ids.size(),
                                      " tokens, the reward model has positions for ", longest,
                                      " (\"truncate\": true cuts off their beginning)"));
        }
        tokens += static_cast<int64_t>(ids.size());
        sequences.push_back({.tokens = std::move(ids)});
        rows.push_back(i);
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
  field("batch_tokens", o.batch_tokens, "Tokens of one forward pass; no effect on the scores",
        {.min = 1});
  field("bf16", o.bf16, "Compute in bfloat16");
  field("weights", o.weights,
        "Of the outputs of a head that has several, in the score (empty: those of the model)");
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
