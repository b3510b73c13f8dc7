#include "guerdon/train/reward.h"

#include <ATen/ATen.h>

#include "guerdon/base/log.h"
#include "guerdon/model/reward_model.h"
#include "guerdon/train/feed.h"
#include "train/offline.h"

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

std::shared_ptr<model::RewardModel> load(const RewardSettings& s, at::Device device = at::kCPU) {
  model::ModelOptions options = model_options(s.train);
  options.device = device;
  return model::load_reward_model(s.train.model_name_or_path,
                                  {.load = {.model = options},
                                   .new_head = true,
                                   .seed = static_cast<uint64_t>(s.train.seed),
                                   .pooling = pooling_of(s.pooling)});
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

/// A decoder's last token is its end; an encoder's tokenizer adds what its model wants.
data::EncodeOptions encode_options(const model::RewardModel& model) {
  return {.append_eos = model.config().decoder() != nullptr};
}

FeedOptions feed_options(const RewardSettings& settings, const std::string& where,
                         const Words& words, const model::RewardModel& model) {
  return {.types = {data::DatasetType::preference},
          .needed = "preference pairs are",
          .encode =
              [&words, cut = TruncationRule(length_limit(settings, model), settings.truncation_mode,
                                            where)](const Example& example, EncodedRow& row) {
                data::EncodedPair pair = words.encoder().reward_pair(example);
                const data::Cut what = cut(pair);
                // No token is predicted.
                for (data::EncodedSequence* s : {&pair.chosen, &pair.rejected}) s->trained.clear();
                row.sequences = {std::move(pair.chosen), std::move(pair.rejected)};
                return what;
              },
          .share_prefixes = model.body().shares_prefixes()};
}

/// A reward model learns which of two responses people prefer (Bradley-Terry; Ouyang et al. 2022,
/// arXiv:2203.02155, eq. 1).
class RewardModelling final : public Algorithm {
 public:
  RewardModelling(const RewardSettings& settings, const std::string& where)
      : settings_(settings),
        folder_(model::model_folder(settings.train.model_name_or_path)),
        model_(load(settings)),
        words_(folder_, settings.chat_template_path, encode_options(*model_)),
        feed_(settings.train, where, feed_options(settings, where, words_, *model_)) {
    if (!settings.loss.center_rewards_coefficient) freeze_shifts(*model_);
    lora_ = add_lora(model_->body(), settings.lora, static_cast<uint64_t>(settings.train.seed));
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
  }
  Batch collect(int64_t) override { return feed_.next(); }
  Outputs forward(const Batch& part) override { return {.scores = model_->scores(part.sequences)}; }

  // Rows are (chosen, rejected), (chosen, rejected), ...
  Loss loss(const Outputs& out, const Batch& part, const Totals& whole) override {
    const Tensor pairs = out.scores.view({-1, 2});
    const loss::PairScores scores{pairs.select(1, 0), pairs.select(1, 1)};
    const auto margin = part.columns.find("margin");
    const Tensor margins =
        margin == part.columns.end() ? Tensor() : margin->second.view({-1, 2}).select(1, 0);
    const Tensor won = (scores.chosen > scores.rejected).to(at::kFloat);
    return {loss::share(loss::bradley_terry(scores, margins, settings_.loss), whole.groups),
            {{"min_reward", out.scores.min(), Metric::Merge::min},
             {"mean_reward", loss::share(out.scores, whole.rows)},
             {"max_reward", out.scores.max(), Metric::Merge::max},
             {"accuracy", loss::share(won, whole.groups)},
             {"margin", loss::share(scores.chosen - scores.rejected, whole.groups)}}};
  }

  int64_t steps_per_epoch() const override { return feed_.steps_per_epoch(); }
  std::string data_fingerprint() const override { return feed_.fingerprint(); }
  std::vector<std::string> evaluation_sets() const override { return feed_.evaluation_sets(); }
  std::optional<Batch> evaluation(const std::string& set, int64_t index) override {
    return feed_.evaluation(set, index);
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
  const RewardSettings& settings_;
  std::filesystem::path folder_;
  std::shared_ptr<model::RewardModel> model_;
  Words words_;
  Feed feed_;
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
  field("center_rewards_coefficient", s.loss.center_rewards_coefficient,
        "Weight of (chosen + rejected)^2, which keeps scores around zero; 0.01 is usual",
        {.min = 0.0});
  field("pooling", s.pooling,
        "What the head reads: the last token, the first, their mean, or BERT's pooler; \"\": the "
        "model's own",
        {.choices = {"", "last", "cls", "mean", "pooler"}});
  field("chat_template_path", s.chat_template_path,
        "Jinja file or model folder whose chat template is used instead of the model's");
  field.group("lora", s.lora);
}

Explanation explanation_of(const RewardSettings& s, const std::string&) {
  RewardSettings copy = s;
  return {
      {.title = "loss of a pair", .lines = loss::explain(s.loss)},
      {.title = "divided by",
       .lines = {"P, the pairs of the whole optimizer step: L = sum over pairs / P",
                 "accuracy and margin are divided by P too, mean_reward by its 2 P responses"}},
      {.title = "signs",
       .lines = {"L is minimised: a higher score means a better response",
                 "margin (the metric) = chosen - rejected, without the row's margin; accuracy "
                 "counts chosen > rejected",
                 s.loss.center_rewards_coefficient
                     ? "scores are kept around 0"
                     : "only differences of scores mean something: a constant added to all of them "
                       "changes nothing (center_rewards_coefficient keeps them around 0)"}},
      explain_step(s.train, "pairs"),
      explain_settings(settings_of(copy),
                       {"center_rewards_coefficient", "pooling", "max_length", "truncation_mode"}),
  };
}

Preview preview_of(const RewardSettings& settings, const std::string& where,
                   const PreviewOptions& options) {
  const std::shared_ptr<model::RewardModel> reward = load(settings, at::kMeta);
  if (!settings.loss.center_rewards_coefficient) freeze_shifts(*reward);
  if (settings.lora.r > 0) add_lora(reward->body(), settings.lora, 0);
  Preview out{.unit = "pairs", .log_probs = false, .saved_is_opened = settings.lora.r == 0};
  out.models.push_back({.role = "model",
                        .folder = model::model_folder(settings.train.model_name_or_path),
                        .module = reward,
                        .body = &reward->body()});
  const Words words(out.models[0].folder, settings.chat_template_path, encode_options(*reward));
  out.files = preview_files(settings.train, where, feed_options(settings, where, words, *reward),
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
