/// A method of one page on a model of a few numbers: what the loop is tested with.
#pragma once

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <functional>
#include <optional>
#include <set>

#include "guerdon/base/random.h"
#include "guerdon/data/sampler.h"
#include "guerdon/loss/reward_model.h"
#include "guerdon/model/tensor_file.h"
#include "guerdon/ops/token_stats.h"
#include "guerdon/train/algorithm.h"
#include "guerdon/train/loop.h"

namespace guerdon::test {

struct ToyModel final : torch::nn::Module {
  ToyModel() {
    const Random random(7, Purpose::initialise);
    auto fill = [&, n = uint64_t{0}](std::vector<int64_t> shape) mutable {
      Tensor t = at::empty(shape);
      for (int64_t i = 0; i < t.numel(); ++i) {
        t.view({-1})[i] = 0.3 * random.normal(n++);
      }
      return t;
    };
    embedding = register_parameter("embedding", fill({kVocabulary, kWidth}));
    head = register_parameter("head", fill({kVocabulary, kWidth}));
    score = register_parameter("score", fill({kWidth}));
  }
  static constexpr int64_t kVocabulary = 11, kWidth = 6;
  Tensor embedding, head, score;
};

/// Pairs of token sequences that share a beginning; the chosen one has more tokens below 5. The
/// loss is Bradley-Terry plus a language model's.
class Toy final : public Algorithm {
 public:
  struct Options {
    int64_t rows = 40, groups_per_step = 8;
    bool whole_batch = false;            ///< a loss that needs the step as a whole
    std::set<int64_t> nan_at;            ///< steps (0, 1, ...) whose rows give a loss of NaN
    int64_t out_of_memory_above = 1000;  ///< groups per part that "do not fit"
    bool freeze_score = false;           ///< the score's gradient never arrives
    bool disconnected = false;           ///< a parameter that nothing uses
    UpdatePlan plan;
    bool evaluates = false;
    std::string data = "data";
    std::function<void(int64_t)> at_collect = [](int64_t) {};
  };
  explicit Toy(Options options) : options_(std::move(options)), sampler_({options_.rows}) {
    if (options_.disconnected) extra_.emplace();
  }

  void parts(Parts& parts) override {
    parts.module("model", model_);
    if (extra_) parts.module("extra", *extra_);
    parts.nested("sampler", sampler_);
    parts.number("average", average_);
    parts.rows("seen", seen_);
  }

  Batch collect(int64_t step) override {
    options_.at_collect(step);
    const int64_t left = sampler_.rows_per_epoch() - sampler_.position();
    std::vector<int64_t> rows;
    for (int64_t i = std::min(options_.groups_per_step, left); i > 0; --i) {
      rows.push_back(sampler_.next().row);
      seen_["row-" + std::to_string(rows.back())] += 1.0;
    }
    Batch batch = pairs(rows);
    batch.plan = options_.plan;
    if (options_.nan_at.count(step) > 0) {
      batch.columns["margin"].fill_(std::numeric_limits<float>::infinity());
    }
    return batch;
  }

  Outputs forward(const Batch& part) override {
    const auto groups = static_cast<int64_t>(part.group.size()) - 1;
    if (groups > options_.out_of_memory_above) {
      TORCH_CHECK_WITH(OutOfMemoryError, false, "no room for ", groups);
    }
    const PackedBatch& packed = part.sequences;
    const Tensor hidden = at::tanh(model_.embedding.index_select(0, packed.tokens));
    // The token before the last counts too, so that rows are more than their last token.
    const Tensor state =
        hidden.index_select(0, packed.last) + hidden.index_select(0, packed.last - 1);
    const Tensor score = options_.freeze_score ? model_.score.detach() : model_.score;
    const Tensor logits = hidden.index_select(0, packed.targets.source).matmul(model_.head.t());
    return {.logprobs = ops::token_stats(logits, packed.targets.token).logprob,
            .scores = state.matmul(score)};
  }

  Loss loss(const Outputs& out, const Batch& part, const Totals& whole) override {
    const Tensor scores = out.scores.view({-1, 2});
    const loss::PairScores pair{scores.select(1, 0), scores.select(1, 1)};
    const Tensor margin = part.columns.at("margin").view({-1, 2}).select(1, 0);
    Tensor value =
        loss::share(-at::log_sigmoid(pair.chosen - pair.rejected - margin), whole.groups);
    value = value + 0.3 * loss::reduce(-out.logprobs, part.sequences.targets,
                                       loss::Reduction::token_mean, whole);
    if (options_.whole_batch) value = value + (out.scores - out.scores.mean()).square().mean();
    const Tensor right = (pair.chosen > pair.rejected).to(at::kFloat);
    return {value,
            {{"accuracy", loss::share(right, whole.groups)},
             {"max_reward", out.scores.max(), Metric::Merge::max},
             {"min_reward", out.scores.min(), Metric::Merge::min}}};
  }
  bool additive() const override { return !options_.whole_batch; }
  void after_step(int64_t done) override {
    average_ = 0.9 * average_ + 0.1 * static_cast<double>(done);
  }

  int64_t steps_per_epoch() const override {
    return (options_.rows + options_.groups_per_step - 1) / options_.groups_per_step *
           options_.plan.iterations * options_.plan.minibatches;
  }
  std::string data_fingerprint() const override { return options_.data; }
  std::vector<std::string> evaluation_sets() const override {
    return options_.evaluates ? std::vector<std::string>{"eval", "hard"}
                              : std::vector<std::string>();
  }
  std::optional<Batch> evaluation(const std::string& set, int64_t index) override {
    if (index == 3) return std::nullopt;
    const int64_t first = (set == "hard" ? 2000 : 1000) + 4 * index;
    return pairs(index == 2 ? std::vector<int64_t>{first}
                            : std::vector<int64_t>{first, first + 1, first + 2, first + 3});
  }
  void save(NewFolder& folder) override {
    model::NamedTensors tensors;
    for (const auto& item : model_.named_parameters())
      tensors.emplace_back(item.key(), item.value());
    model::add_tensors(folder, "model.safetensors", tensors);
    folder.add("config.json", "{}\n");
  }

  ToyModel& model() { return model_; }

 private:
  static Sequence sequence(int64_t row, bool chosen) {
    const Random prompt(3, Purpose::data, static_cast<uint64_t>(row));
    const Random answer(3, Purpose::data, static_cast<uint64_t>(row), chosen ? 1 : 2);
    Sequence out;
    const uint64_t prefix = 1 + prompt.below(0, 4), length = 2 + answer.below(0, 4);
    for (uint64_t i = 0; i < prefix; ++i) {
      out.tokens.push_back(static_cast<int64_t>(prompt.below(i + 1, ToyModel::kVocabulary)));
    }
    for (uint64_t i = 0; i < length; ++i) {
      const uint64_t token = answer.below(i + 1, 8);
      out.tokens.push_back(static_cast<int64_t>(chosen || token < 3 ? token : token + 3));
    }
    out.weight.assign(out.tokens.size(), 0.0f);
    std::fill(out.weight.begin() + static_cast<int64_t>(prefix), out.weight.end(), 1.0f);
    return out;
  }
  static Batch pairs(const std::vector<int64_t>& rows) {
    std::vector<Sequence> sequences;
    Batch batch;
    batch.group = {0};
    for (const int64_t row : rows) {
      sequences.push_back(sequence(row, true));
      sequences.push_back(sequence(row, false));
      batch.group.push_back(static_cast<int64_t>(sequences.size()));
      batch.ids.push_back("row-" + std::to_string(row));
    }
    batch.sequences = pack(sequences, batch.group);
    batch.columns["margin"] = at::zeros({static_cast<int64_t>(sequences.size())});
    return batch;
  }

  Options options_;
  ToyModel model_;
  std::optional<ToyModel> extra_;
  data::Sampler sampler_;
  double average_ = 0.0;
  std::map<std::string, double> seen_;
};

inline train::TrainSettings toy_settings(int64_t steps) {
  train::TrainSettings settings;
  settings.learning_rate = 0.05;
  settings.max_steps = steps;
  settings.save_strategy = "no";
  settings.save_total_limit = std::nullopt;
  return settings;
}

/// Trains a toy in a folder.
inline train::TrainResult train_toy(Toy& toy, const train::TrainSettings& settings,
                                    const std::filesystem::path& folder, bool resume = false) {
  train::RunFolder run(folder, resume);
  return train::train(toy, settings, run,
                      {.command = "train toy", .settings_sha256 = "settings", .resume = resume});
}

}  // namespace guerdon::test
