#include "guerdon/reward/vector_rewards.h"

#include <ATen/ATen.h>

#include <limits>
#include <optional>

#include "guerdon/base/error.h"
#include "guerdon/data/vectors.h"
#include "guerdon/model/feature_model.h"

namespace guerdon {

/// Vectors of rollouts: stored ones, and those of texts.
class detail::VectorSource {
 public:
  VectorSource(const std::string& embedder, const model::EmbedderOptions& options) {
    if (!embedder.empty()) embedder_.emplace(embedder, options);
  }

  const model::Embedder* embedder() const { return embedder_ ? &*embedder_ : nullptr; }

  /// One vector for each rollout that `scores` has not settled, [n, width]; zeros for the others. A
  /// rollout whose vector cannot be had is settled as failed. `tokens` is asked where the row does
  /// not name one in `field`.
  Tensor vectors(
      const RewardBatch& batch, const std::string& field,
      const std::function<std::vector<int64_t>(const model::Embedder&, const Rollout&)>& tokens,
      Scores& scores) {
    std::vector<int64_t> stored, stored_rows, text_rows;
    std::vector<std::vector<int64_t>> texts;
    for (size_t i = 0; i < batch.rollouts.size(); ++i) {
      if (scores.verdicts[i] != Verdict::scored) continue;
      const Rollout& rollout = batch.rollouts[i];
      try {
        if (rollout.example && rollout.example->fields.has(field)) {
          stored.push_back(table_.number(rollout.example->fields, field));
          stored_rows.push_back(static_cast<int64_t>(i));
        } else if (embedder_) {
          texts.push_back(tokens(*embedder_, rollout));
          text_rows.push_back(static_cast<int64_t>(i));
        } else {
          fail_input(rollout.example ? rollout.example->fields.where() : "",
                     "field " + show(field) + " is missing, and no embedder is named");
        }
      } catch (const Error& e) {
        scores.verdicts[i] = Verdict::failed;
        scores.notes[i] = e.what();
      }
    }
    const int64_t width = stored.empty() && embedder_ ? embedder_->width() : table_.width();
    if (embedder_ && embedder_->width() != width)
      fail_input("vectors", guerdon::str("the stored ones have ", width,
                                         " numbers, the embedder's ", embedder_->width()));
    Tensor out = at::zeros({static_cast<int64_t>(batch.rollouts.size()), width}, at::kFloat);
    if (!stored.empty()) {
      const std::vector<float> values = table_.read(stored);
      out.index_copy_(0, at::tensor(stored_rows, at::kLong),
                      at::tensor(values, at::kFloat).view({-1, width}));
    }
    if (!texts.empty())
      out.index_copy_(0, at::tensor(text_rows, at::kLong), embedder_->vectors(texts));
    return out;
  }

 private:
  std::optional<model::Embedder> embedder_;
  data::VectorTable table_;
};

namespace {

Scores unsettled(const RewardBatch& batch) {
  const size_t n = batch.rollouts.size();
  Scores out;
  out.total =
      at::full({static_cast<int64_t>(n)}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);
  out.verdicts.assign(n, Verdict::scored);
  out.notes.resize(n);
  return out;
}

/// The totals of the rollouts that are scored.
void settle(Scores& scores, const Tensor& values) {
  const Tensor plain = values.to(at::kFloat).contiguous();
  for (size_t i = 0; i < scores.verdicts.size(); ++i) {
    if (scores.verdicts[i] == Verdict::scored)
      scores.total.data_ptr<float>()[i] = plain.const_data_ptr<float>()[i];
  }
}

std::vector<int64_t> response_tokens(const model::Embedder& embedder, const Rollout& rollout) {
  return embedder.tokens(rollout.text);
}

void describe_embedder(SettingList& field, std::string& embedder,
                       model::EmbedderOptions& embedding) {
  field("embedder", embedder,
        "Model folder or run that makes vectors of texts, for rows that name none");
  field("pooling", embedding.pooling, "How the embedder's hidden states become one vector",
        {.choices = {"mean", "last", "cls"}});
  field("batch_tokens", embedding.batch_tokens,
        "Tokens of one forward pass of the embedder; no effect on the scores", {.min = 1});
  field("bf16", embedding.bf16, "The embedder computes in bfloat16");
}

}  // namespace

struct FeatureReward::Loaded {
  explicit Loaded(const Options& options)
      : model(model::load_feature_model(options.path)),
        source(options.embedder, options.embedding) {
    const model::Embedder* embedder = source.embedder();
    if (embedder && embedder->width() != model->width())
      fail_input(options.embedder,
                 guerdon::str("makes vectors of ", embedder->width(), " numbers, ", options.path,
                              " reads ", model->width()));
  }
  std::shared_ptr<model::FeatureModel> model;
  detail::VectorSource source;
};

FeatureReward::FeatureReward(const Options& options) {
  if (options.path.empty())
    fail_settings("reward features", "key path: must name the folder or run of train features");
  loaded_ = std::make_unique<Loaded>(options);
}

FeatureReward::~FeatureReward() = default;

Scores FeatureReward::score(const RewardBatch& batch) {
  const at::NoGradGuard no_gradient;
  Scores out = unsettled(batch);
  const bool alone = loaded_->model->vectors() == 1;
  std::vector<Tensor> vectors;
  if (!alone) {
    vectors.push_back(loaded_->source.vectors(
        batch, "prompt_vector",
        [](const model::Embedder& embedder, const Rollout& rollout) {
          return embedder.tokens(rollout.example ? rollout.example->prompt : Text());
        },
        out));
  }
  vectors.push_back(loaded_->source.vectors(
      batch, data::kResponseVector,
      [&](const model::Embedder& embedder, const Rollout& rollout) {
        return alone ? embedder.judged_tokens(judged_row(rollout), 0)
                     : response_tokens(embedder, rollout);
      },
      out));
  // Without a row that can be judged there is no width either.
  if (vectors.back().size(1) == 0) return out;
  settle(out, loaded_->model->scores(at::stack(vectors, 1)));
  return out;
}

void describe(SettingList& field, FeatureReward::Options& o) {
  field("path", o.path, "Folder of the model, or of the run that made it");
  describe_embedder(field, o.embedder, o.embedding);
}

Similarity::Similarity(const Options& options)
    : field_(options.field),
      source_(std::make_unique<detail::VectorSource>(options.embedder, options.embedding)) {}

Similarity::~Similarity() = default;

Scores Similarity::score(const RewardBatch& batch) {
  const at::NoGradGuard no_gradient;
  Scores out = unsettled(batch);
  for (size_t i = 0; i < batch.rollouts.size(); ++i) {
    const auto& example = batch.rollouts[i].example;
    const bool answered =
        example && (example->fields.has("answer_vector") || example->fields.has(field_));
    if (!answered) out.verdicts[i] = Verdict::no_opinion;
  }
  const Tensor answers = source_->vectors(
      batch, "answer_vector",
      [&](const model::Embedder& embedder, const Rollout& rollout) {
        return embedder.tokens(rollout.example->fields.text(field_));
      },
      out);
  const Tensor responses = source_->vectors(batch, data::kResponseVector, response_tokens, out);
  if (responses.size(1) == 0) return out;
  settle(out, (1.0 + model::cosine(responses, answers)) / 2.0);
  return out;
}

void describe(SettingList& field, Similarity::Options& o) {
  field("field", o.field,
        "Column that holds the answer's text, for rows without \"answer_vector\"");
  describe_embedder(field, o.embedder, o.embedding);
}

}  // namespace guerdon
