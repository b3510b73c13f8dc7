#include "guerdon/reward/model_reward.h"

#include <ATen/ATen.h>

#include <limits>

#include "guerdon/base/error.h"
#include "guerdon/data/encode.h"
#include "guerdon/model/reward_model.h"
#include "guerdon/text/chat_template.h"
#include "guerdon/text/tokenizer.h"

namespace guerdon {
namespace {

// The row of a reward model's training: a prompt and one response.
Example judged_row(const Rollout& rollout) {
  Example row;
  if (rollout.example) {
    row.prompt = rollout.example->prompt;
    row.fields = rollout.example->fields;
  }
  Response response;
  if (std::holds_alternative<Conversation>(row.prompt)) {
    response.text = Conversation{{.role = "assistant", .content = rollout.text, .extra = {}}};
  } else {
    response.text = rollout.text;
  }
  row.responses.push_back(std::move(response));
  return row;
}

}  // namespace

struct ModelReward::Loaded {
  explicit Loaded(const Options& options)
      : model(model::load_reward_model(
            options.path, {.load = {.model = {.compute = options.bf16 ? at::kBFloat16
                                                                      : at::ScalarType::Undefined}},
                           .weights = options.weights})),
        folder(data::find_model(options.path).folder),
        tokenizer(text::Tokenizer::load(folder)) {
    if (text::ChatTemplate::exists(folder)) chat_template = text::ChatTemplate::load(folder);
    encoder.emplace(tokenizer, chat_template ? &*chat_template : nullptr,
                    data::EncodeOptions{.append_eos = model->config().decoder() != nullptr});
  }

  std::shared_ptr<model::RewardModel> model;
  std::filesystem::path folder;  // with tokenizer and chat template
  text::Tokenizer tokenizer;
  std::optional<text::ChatTemplate> chat_template;
  std::optional<data::Encoder> encoder;
};

ModelReward::ModelReward(const Options& options) : options_(options) {
  if (options.path.empty())
    fail_settings("reward model", "key path: must name a reward model's folder or run");
  loaded_ = std::make_unique<Loaded>(options);
}

ModelReward::~ModelReward() = default;

Scores ModelReward::score(const RewardBatch& batch) {
  const at::NoGradGuard no_gradient;
  const size_t n = batch.rollouts.size();
  Scores out;
  out.total =
      at::full({static_cast<int64_t>(n)}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);
  out.verdicts.assign(n, Verdict::scored);
  out.notes.resize(n);
  const model::HeadOutputs& head = loaded_->model->head();
  const auto outputs = static_cast<int64_t>(head.labels.size());
  if (outputs > 1) {
    out.names = head.labels;
    out.components = at::full({static_cast<int64_t>(n), outputs},
                              std::numeric_limits<float>::quiet_NaN(), at::kFloat);
  }
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
    const Tensor values = loaded_->model->outputs(packed), at = at::tensor(rows, at::kLong);
    out.total.index_copy_(0, at, loaded_->model->score_of(values).to(at::kCPU, at::kFloat));
    if (outputs > 1) out.components.index_copy_(0, at, values.to(at::kCPU, at::kFloat));
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
        out.verdicts[at] = Verdict::failed;
        out.notes[at] = e.what();
      }
    }
    if (static_cast<int64_t>(sequences.size()) > groups.back())
      groups.push_back(static_cast<int64_t>(sequences.size()));
    if (tokens >= options_.batch_tokens) flush();
  }
  flush();
  return out;
}

void describe(SettingList& field, ModelReward::Options& o) {
  field("path", o.path, "Folder of the reward model, or of the run that made it");
  field("batch_tokens", o.batch_tokens, "Tokens of one forward pass; no effect on the scores",
        {.min = 1});
  field("bf16", o.bf16, "Compute in bfloat16");
  field("weights", o.weights,
        "Of the outputs of a head that has several, in the score (empty: those of the model)");
  field(
      "truncate", o.truncate,
      "Cut off the beginning of texts that are longer than the model's table of positions, but for "
      "the first token, instead of failing them");
}

}  // namespace guerdon
