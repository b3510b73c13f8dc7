#include "guerdon/train/sft.h"

#include <ATen/ATen.h>

#include "guerdon/model/logprobs.h"
#include "guerdon/train/feed.h"
#include "train/offline.h"

namespace guerdon::train {
namespace {

/// Supervised fine-tuning: the tokens of the answers become more likely.
class Sft final : public Algorithm {
 public:
  Sft(const SftSettings& settings, const std::string& where)
      : settings_(settings),
        folder_(model::model_folder(settings.train.model_name_or_path)),
        words_(folder_, settings.chat_template_path,
               {.completion_only_loss = settings.completion_only_loss,
                .assistant_only_loss = settings.assistant_only_loss}),
        feed_(settings.train, where,
              {.types = {data::DatasetType::language_modeling, data::DatasetType::prompt_completion,
                         data::DatasetType::preference, data::DatasetType::unpaired_preference},
               .needed = "texts, conversations or prompts with completions are",
               .encode =
                   [this, cut = TruncationRule(settings.max_length, settings.truncation_mode,
                                               where)](const Example& example, EncodedRow& row) {
                     row.sequences = {words_.encoder().supervised(example)};
                     return cut(row.sequences[0]);
                   }}),
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
        {.choices = {"nll", "dft"}});
  field("chat_template_path", s.chat_template_path,
        "Jinja file or model folder whose chat template is used instead of the model's");
  field.group("lora", s.lora);
}

std::unique_ptr<Algorithm> make_sft(const SftSettings& settings, const std::string& where,
                                    RunFolder&) {
  return std::make_unique<Sft>(settings, where);
}

}  // namespace guerdon::train
