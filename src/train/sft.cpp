#include "guerdon/train/sft.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "guerdon/base/error.h"
#include "guerdon/model/logprobs.h"
#include "guerdon/train/feed.h"
#include "train/offline.h"

namespace guerdon::train {
namespace {

struct SftLoss {
  const char* name;
  const char* formula;  // of a token
};
constexpr SftLoss kLosses[] = {
    {"nll", "-log p(token)"},
    {"dft", "-p(token) log p(token), with no gradient through the first factor"},
};

std::vector<std::string> loss_types() {
  std::vector<std::string> names;
  for (const SftLoss& loss : kLosses) names.emplace_back(loss.name);
  return names;
}

data::EncodeOptions encode_options(const SftSettings& s) {
  return {.completion_only_loss = s.completion_only_loss,
          .assistant_only_loss = s.assistant_only_loss};
}

FeedOptions feed_options(const SftSettings& settings, const std::string& where,
                         const Words& words) {
  return {.types = {data::DatasetType::language_modeling, data::DatasetType::prompt_completion,
                    data::DatasetType::preference, data::DatasetType::unpaired_preference},
          .needed = "texts, conversations or prompts with completions are",
          .encode = [&words, cut = TruncationRule(settings.max_length, settings.truncation_mode,
                                                  where)](const Example& example, EncodedRow& row) {
            row.sequences = {words.encoder().supervised(example)};
            return cut(row.sequences[0]);
          }};
}

/// Supervised fine-tuning: the tokens of the answers become more likely.
class Sft final : public Algorithm {
 public:
  Sft(const SftSettings& settings, const std::string& where)
      : settings_(settings),
        folder_(model::model_folder(settings.train.model_name_or_path)),
        words_(folder_, settings.chat_template_path, encode_options(settings)),
        feed_(settings.train, where, feed_options(settings, where, words_)),
        policy_(model::load_decoder(folder_, {.model = model_options(settings.train)})) {
    lora_ = add_lora(*policy_, settings.lora, static_cast<uint64_t>(settings.train.seed));
  }

  void parts(Parts& parts) override {
    parts.module("policy", *policy_);
    parts.nested("data", feed_);
  }
  Batch collect(int64_t) override { return feed_.next(); }

  Outputs forward(const Batch& part) override {
    const ops::TokenStats stats =
        model::token_stats(*policy_, part.sequences, 1.0, {.entropy = true, .argmax = true});
    return {.logprobs = stats.logprob,
            .entropy = stats.entropy.detach(),
            .extra = {{"argmax", stats.argmax}}};
  }

  // nll: the mean over the tokens that are trained. dft: each weighted by its own probability
  // (Wu et al. 2025, arXiv:2508.05629).
  Loss loss(const Outputs& out, const Batch& part, const Totals& whole) override {
    const Targets& targets = part.sequences.targets;
    Tensor per_token = -out.logprobs;
    if (settings_.loss_type == "dft") per_token = per_token * out.logprobs.detach().exp();
    const Tensor right = out.extra.at("argmax") == targets.token;
    return {loss::reduce(per_token, targets, loss::Reduction::token_mean, whole),
            {{"entropy", loss::token_share(out.entropy, targets, whole)},
             {"mean_token_accuracy", loss::token_share(right, targets, whole)}}};
  }

  int64_t steps_per_epoch() const override { return feed_.steps_per_epoch(); }
  std::string data_fingerprint() const override { return feed_.fingerprint(); }
  std::vector<std::string> evaluation_sets() const override { return feed_.evaluation_sets(); }
  std::optional<Batch> evaluation(const std::string& set, int64_t index) override {
    return feed_.evaluation(set, index);
  }
  void save(NewFolder& folder) override {
    if (lora_) return model::write_adapter(folder, *policy_, "default", folder_.string());
    model::write_decoder(folder, *policy_, save_options(folder_, words_));
  }

 private:
  const SftSettings& settings_;
  std::filesystem::path folder_;
  Words words_;
  Feed feed_;
  std::shared_ptr<model::Decoder> policy_;
  bool lora_ = false;
};

}  // namespace

void describe(SettingList& field, SftSettings& s) {
  describe(field, s.train);
  field("max_length", s.max_length, "Tokens of a row; longer ones are cut; null: no limit",
        {.min = 2});
  field("truncation_mode", s.truncation_mode, "What is cut", {.choices = truncation_modes()});
  field("completion_only_loss", s.completion_only_loss,
        "Train the completion alone; null: for rows that have a prompt");
  field("assistant_only_loss", s.assistant_only_loss, "Train the assistant's turns alone");
  field("loss_type", s.loss_type, "nll, or dft: weighted by the token's own probability",
        {.choices = loss_types()});
  field("chat_template_path", s.chat_template_path,
        "Jinja file or model folder whose chat template is used instead of the model's");
  field.group("lora", s.lora);
}

Explanation explanation_of(const SftSettings& s, const std::string&) {
  const auto* loss = std::find_if(std::begin(kLosses), std::end(kLosses),
                                  [&](const SftLoss& l) { return s.loss_type == l.name; });
  GUERDON_CHECK(loss != std::end(kLosses), "sft: no loss is called ", s.loss_type);
  const std::string trained =
      s.assistant_only_loss ? "the tokens of the assistant's turns"
      : !s.completion_only_loss
          ? "the tokens of the completion in rows that have a prompt, all of the others"
      : *s.completion_only_loss ? "the tokens of the completion"
                                : "all tokens";
  SftSettings copy = s;
  return {
      {.title = "loss of a token",
       .lines = {std::string(loss->name) + ": " + loss->formula, "trained are " + trained}},
      {.title = "divided by",
       .lines = {"N, the trained tokens of the whole optimizer step: L = sum over them / N",
                 "a row of many tokens weighs more than one of few; entropy and "
                 "mean_token_accuracy are divided by N too"}},
      {.title = "signs",
       .lines = {"L is minimised: lower means that the model finds the answers more likely"}},
      explain_step(s.train, "rows"),
      explain_settings(settings_of(copy), {"loss_type", "completion_only_loss",
                                           "assistant_only_loss", "max_length", "truncation_mode"}),
  };
}

Preview preview_of(const SftSettings& settings, const std::string& where,
                   const PreviewOptions& options) {
  const std::string& path = settings.train.model_name_or_path;
  Preview out{.unit = "rows"};
  out.models.push_back(preview_decoder("policy", path, settings.train, true));
  preview_lora(out.models[0], settings.lora);
  const Words words(out.models[0].folder, settings.chat_template_path, encode_options(settings));
  out.files =
      preview_files(settings.train, where, feed_options(settings, where, words), options.rows);
  return out;
}

std::unique_ptr<Algorithm> make_sft(const SftSettings& settings, const std::string& where,
                                    RunFolder&) {
  return std::make_unique<Sft>(settings, where);
}

}  // namespace guerdon::train
