#include "guerdon/train/dpo.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/data/side_file.h"
#include "guerdon/model/logprobs.h"
#include "guerdon/optim/state.h"
#include "guerdon/train/feed.h"
#include "train/offline.h"

namespace guerdon::train {
namespace {

Tensor chosen_of(const Tensor& per_row) { return per_row.view({-1, 2}).select(1, 0); }
Tensor rejected_of(const Tensor& per_row) { return per_row.view({-1, 2}).select(1, 1); }

FeedOptions feed_options(const DpoSettings& settings, const std::string& where,
                         const Words& words) {
  return {.types = {data::DatasetType::preference},
          .needed = "preference pairs are",
          .encode = [&words, cut = TruncationRule(settings.max_length, settings.truncation_mode,
                                                  where)](const Example& example, EncodedRow& row) {
            data::EncodedPair pair = words.encoder().preference(example);
            const data::Cut what = cut(pair);
            row.sequences = {std::move(pair.chosen), std::move(pair.rejected)};
            return what;
          }};
}

/// Of the loss "sft", which is none of a pair.
double sft_weight(const loss::DpoOptions& options) {
  double sum = 0.0;
  for (size_t i = 0; i < options.loss_type.size(); ++i) {
    if (options.loss_type[i] != "sft") continue;
    sum += options.loss_weights.empty() ? 1.0 : options.loss_weights[i];
  }
  return sum;
}

/// Direct Preference Optimization (Rafailov et al. 2023, arXiv:2305.18290): the policy learns what
/// people prefer, without a reward model between them. Rows are (chosen, rejected), ...
class Dpo final : public Algorithm {
 public:
  Dpo(const DpoSettings& settings, const std::string& where, RunFolder& run)
      : settings_(settings),
        folder_(model::model_folder(settings.train.model_name_or_path)),
        words_(folder_, settings.chat_template_path, {}),
        feed_(settings.train, where, feed_options(settings, where, words_)),
        policy_(model::load_decoder(folder_, {.model = model_options(settings.train)})) {
    lora_ = add_lora(*policy_, settings.lora, static_cast<uint64_t>(settings.train.seed));
    // With an adapter the reference is the policy without it.
    if (!lora_ || !settings.reference.empty()) load_reference();
    if (settings.precompute_ref_log_probs) {
      precompute(run);
      reference_.reset();
    }
  }

  void parts(Parts& parts) override {
    parts.module("policy", *policy_);
    if (reference_) parts.module("reference", *reference_, {.moving = settings_.sync_ref_model});
    parts.nested("data", feed_);
  }

  Batch collect(int64_t) override { return with_counts(feed_.next(), ""); }

  Outputs forward(const Batch& part) override {
    const ops::TokenStats stats = model::token_stats(*policy_, part.sequences, 1.0,
                                                     {.entropy = true,
                                                      .argmax = true,
                                                      .mean_logit = true,
                                                      .sum_squares = settings_.use_weighting});
    Outputs out{.logprobs = stats.logprob,
                .entropy = stats.entropy.detach(),
                .extra = {{"argmax", stats.argmax}, {"mean_logit", stats.mean_logit}}};
    if (settings_.use_weighting) out.extra["sum_squares"] = stats.sum_squares;
    if (part.columns.count("reference") == 0) out.reference = reference_logprobs(part.sequences);
    return out;
  }

  Loss loss(const Outputs& out, const Batch& part, const Totals& whole) override {
    const Targets& targets = part.sequences.targets;
    const int64_t rows = part.sequences.rows();
    const Tensor policy = response_sums(out.logprobs, part.sequences);
    const Tensor reference = out.reference.defined() ? response_sums(out.reference, part.sequences)
                                                     : part.columns.at("reference");
    const Tensor lengths = loss::row_weights(targets, rows);
    const loss::PairLoss pairs = loss::dpo(
        {chosen_of(policy), rejected_of(policy)}, {chosen_of(reference), rejected_of(reference)},
        settings_.loss, {chosen_of(lengths), rejected_of(lengths)});
    Tensor per_pair = pairs.loss;
    if (settings_.use_weighting) per_pair = per_pair * weights(out, part.sequences, lengths);
    Tensor value = loss::share(per_pair, whole.groups);

    const double chosen_tokens = whole.columns.at("chosen_tokens");
    const double rejected_tokens = whole.columns.at("rejected_tokens");
    if (const double weight = sft_weight(settings_.loss); weight != 0.0) {
      const Tensor sums = chosen_of(loss::row_sums(out.logprobs, targets, rows));
      value = value - weight * loss::share(sums, chosen_tokens);
    }
    return {value,
            metrics(out, part, whole, pairs, policy.detach(), chosen_tokens, rejected_tokens)};
  }
  bool additive() const override { return !loss::needs_whole_batch(settings_.loss); }

  // A reference that follows the policy (Gorbatovski et al. 2024, arXiv:2404.09656).
  void after_step(int64_t done) override {
    if (!settings_.sync_ref_model || done % settings_.ref_model_sync_steps != 0) return;
    const at::NoGradGuard no_grad;
    const double a = settings_.ref_model_mixup_alpha;
    auto from = policy_->named_parameters();
    for (auto& item : reference_->named_parameters()) {
      item.value().mul_(1.0 - a).add_(from[item.key()], a);
    }
  }

  int64_t steps_per_epoch() const override { return feed_.steps_per_epoch(); }
  std::string data_fingerprint() const override { return feed_.fingerprint(); }
  std::vector<std::string> evaluation_sets() const override { return feed_.evaluation_sets(); }
  std::optional<Batch> evaluation(const std::string& set, int64_t index) override {
    std::optional<Batch> batch = feed_.evaluation(set, index);
    if (batch) batch = with_counts(std::move(*batch), set);
    return batch;
  }
  void save(NewFolder& folder) override {
    if (lora_) return model::write_adapter(folder, *policy_, "default", folder_.string());
    model::write_decoder(folder, *policy_, save_options(folder_, words_));
  }

 private:
  void load_reference() {
    const std::string& path =
        settings_.reference.empty() ? settings_.train.model_name_or_path : settings_.reference;
    reference_ = model::load_decoder(path, {.model = model_options(settings_.train)});
    for (Tensor& parameter : reference_->parameters()) parameter.requires_grad_(false);
  }

  Tensor reference_logprobs(const PackedBatch& batch) {
    const at::NoGradGuard no_grad;
    if (reference_) return model::logprobs(*reference_, batch);
    const model::AdapterScope without(*policy_, "");
    return model::logprobs(*policy_, batch);
  }

  /// Sums over the responses. With ld_alpha, tokens past the shorter response of a pair count
  /// alpha: longer is not better for being longer (Liu et al. 2024, arXiv:2409.06411).
  Tensor response_sums(const Tensor& per_token, const PackedBatch& batch) const {
    const Targets& targets = batch.targets;
    if (!settings_.ld_alpha) return loss::row_sums(per_token, targets, batch.rows());
    const Tensor counts = at::bincount(targets.row, {}, batch.rows());
    const Tensor first = counts.cumsum(0) - counts;
    const Tensor place = at::arange(targets.row.size(0)) - first.index_select(0, targets.row);
    const Tensor shorter = at::minimum(chosen_of(counts), rejected_of(counts)).repeat_interleave(2);
    const Tensor tail = place >= shorter.index_select(0, targets.row);
    const Tensor weighted = at::where(tail, *settings_.ld_alpha * per_token, per_token);
    return loss::row_sums(weighted, targets, batch.rows());
  }

  /// How likely the policy is to write such a pair itself (WPO; Zhou et al. 2024,
  /// arXiv:2406.11827, eq. 2): exp of the mean over tokens of log p(token) - log sum p^2.
  static Tensor weights(const Outputs& out, const PackedBatch& batch, const Tensor& lengths) {
    const Tensor aligned = out.logprobs.detach() - out.extra.at("sum_squares");
    const Tensor sums = loss::row_sums(aligned, batch.targets, batch.rows());
    const Tensor weight = (sums / lengths.clamp_min(1)).exp();
    return chosen_of(weight) * rejected_of(weight);
  }

  std::vector<Metric> metrics(const Outputs& out, const Batch& part, const Totals& whole,
                              const loss::PairLoss& pairs, const Tensor& policy,
                              double chosen_tokens, double rejected_tokens) const {
    const Targets& targets = part.sequences.targets;
    const auto rows_of = [&](const Tensor& per_token) {
      return loss::row_sums(per_token.to(at::kFloat), targets, part.sequences.rows());
    };
    const Tensor logits = rows_of(out.extra.at("mean_logit"));
    const Tensor right = rows_of(out.extra.at("argmax") == targets.token);
    const Tensor plain = settings_.ld_alpha ? policy : rows_of(out.logprobs.detach());
    const Tensor margin = pairs.chosen_reward - pairs.rejected_reward;
    return {
        {"rewards/chosen", loss::share(pairs.chosen_reward, whole.groups)},
        {"rewards/rejected", loss::share(pairs.rejected_reward, whole.groups)},
        {"rewards/accuracies", loss::share((margin > 0).to(at::kFloat), whole.groups)},
        {"rewards/margins", loss::share(margin, whole.groups)},
        {"logps/chosen", loss::share(chosen_of(plain), whole.groups)},
        {"logps/rejected", loss::share(rejected_of(plain), whole.groups)},
        {"logits/chosen", loss::share(chosen_of(logits), chosen_tokens)},
        {"logits/rejected", loss::share(rejected_of(logits), rejected_tokens)},
        {"entropy", loss::token_share(out.entropy, targets, whole)},
        {"mean_token_accuracy", loss::share(chosen_of(right), chosen_tokens)},
    };
  }

  /// The columns that the totals need, and the reference's log-probs where they are known already.
  Batch with_counts(Batch batch, const std::string& set) const {
    const Tensor counts = loss::row_weights(batch.sequences.targets, batch.sequences.rows());
    const Tensor is_chosen = at::arange(counts.size(0)).remainder(2) == 0;
    const Tensor none = at::zeros_like(counts);
    batch.columns["chosen_tokens"] = at::where(is_chosen, counts, none);
    batch.columns["rejected_tokens"] = at::where(is_chosen, none, counts);
    const auto known = known_.find(set);
    if (known != known_.end()) {
      const Tensor pair = batch.columns.at("index").to(at::kLong);
      const Tensor row = 2 * pair + at::where(is_chosen, 0, 1);
      batch.columns["reference"] = known->second.index_select(0, row);
    }
    return batch;
  }

  /// The reference's sums for all rows, from the run's side file or made now and kept there.
  void precompute(RunFolder& run) {
    std::vector<std::string> sets = feed_.evaluation_sets();
    sets.insert(sets.begin(), "");
    Sha256 key;
    optim::FrozenHashes hashes;
    for (const std::string& set : sets) key.add(set + " " + feed_.fingerprint(set) + "\n");
    const torch::nn::Module& reference =
        reference_ ? static_cast<torch::nn::Module&>(*reference_) : *policy_;
    for (const auto& item : reference.named_parameters()) {
      if (!item.value().requires_grad()) key.add(item.key() + " " + hashes.of(item.value()) + "\n");
    }
    key.add(guerdon::str("ld_alpha ", settings_.ld_alpha.value_or(-1.0), " bf16 ",
                         settings_.train.bf16));
    const std::string id = key.hex();
    std::vector<data::SideColumn> columns;
    for (size_t i = 0; i < sets.size(); ++i) {
      columns.push_back({guerdon::str("set_", i), data::Element::float32});
    }

    const std::filesystem::path path = run.path() / "cache" / "reference_logprobs.h5";
    std::unique_ptr<data::SideFile> cache = data::open_cache(path, id, columns);
    if (!cache) {
      log::info("computing the reference's log-probs of all rows");
      std::filesystem::create_directories(path.parent_path());
      data::SideFileWriter writer(path, id, columns);
      for (size_t i = 0; i < sets.size(); ++i) {
        for (int64_t index = 0;; ++index) {
          const std::optional<Batch> batch = feed_.in_order(sets[i], index);
          if (!batch) break;
          const Tensor sums = response_sums(reference_logprobs(batch->sequences), batch->sequences);
          const Tensor plain = sums.to(at::kFloat).contiguous();
          writer.append(columns[i].name,
                        std::span<const float>(plain.const_data_ptr<float>(),
                                               static_cast<size_t>(plain.numel())));
        }
      }
      writer.commit();
      cache = std::make_unique<data::SideFile>(path, id, columns);
    }
    for (size_t i = 0; i < sets.size(); ++i) {
      std::vector<float> all;
      for (int64_t row = 0; row < cache->rows(columns[i].name); ++row) {
        const std::vector<float> values = cache->floats(columns[i].name, row);
        all.insert(all.end(), values.begin(), values.end());
      }
      known_[sets[i]] = at::tensor(all);
    }
  }

  const DpoSettings& settings_;
  std::filesystem::path folder_;
  Words words_;
  Feed feed_;
  std::shared_ptr<model::Decoder> policy_, reference_;
  std::map<std::string, Tensor> known_;  // reference sums of a set, [2 pairs]
  bool lora_ = false;
};

}  // namespace

void describe(SettingList& field, DpoSettings& s) {
  describe(field, s.train);
  field("max_length", s.max_length, "Tokens of a prompt with a response; null: no limit",
        {.min = 2});
  field("truncation_mode", s.truncation_mode, "What is cut", {.choices = truncation_modes()});
  field("beta", s.loss.beta, "Pull towards the reference; larger stays closer to it",
        {.above = 0.0});
  field("loss_type", s.loss.loss_type, "The loss, or several that are added",
        {.choices = loss::dpo_loss_types()});
  field("loss_weights", s.loss.loss_weights, "Weights of several losses; empty: 1 each");
  field("label_smoothing", s.loss.label_smoothing, "Share of pairs taken to be mislabelled",
        {.min = 0.0, .below = 0.5});
  field("f_divergence_type", s.loss.f_divergence_type, "Divergence that keeps the policy near",
        {.choices = loss::f_divergence_types()});
  field("f_alpha_divergence_coef", s.loss.f_alpha_divergence_coef, "The alpha of alpha_divergence");
  field("discopop_tau", s.loss.discopop_tau, "Temperature of discopop", {.above = 0.0});
  field("ld_alpha", s.ld_alpha, "Weight of the tokens past the shorter response (LD-DPO); null: 1",
        {.min = 0.0, .max = 1.0});
  field("use_weighting", s.use_weighting,
        "Weight pairs by how likely the policy writes them (WPO)");
  field(
      "precompute_ref_log_probs", s.precompute_ref_log_probs,
      "Compute the reference's log-probs once, keep them on disk, and the reference out of memory");
  field("sync_ref_model", s.sync_ref_model, "Let the reference follow the policy (TR-DPO)");
  field("ref_model_mixup_alpha", s.ref_model_mixup_alpha,
        "Share of the policy when the reference follows", {.min = 0.0, .max = 1.0});
  field("ref_model_sync_steps", s.ref_model_sync_steps, "Steps between two such moves", {.min = 1});
  field("models.reference", s.reference, "Folder of the reference; \"\": the starting model");
  field("chat_template_path", s.chat_template_path,
        "Jinja file or model folder whose chat template is used instead of the model's");
  field.group("lora", s.lora);
}

Explanation explanation_of(const DpoSettings& s, const std::string& where) {
  check_dpo_settings(s, where);
  const double sft = sft_weight(s.loss);
  const auto uses = [&](std::initializer_list<const char*> names) {
    return std::any_of(s.loss.loss_type.begin(), s.loss.loss_type.end(), [&](const auto& type) {
      return std::any_of(names.begin(), names.end(), [&](const char* n) { return type == n; });
    });
  };
  Section pair{.title = "loss of a pair", .lines = loss::explain(s.loss)};
  if (s.use_weighting) {
    pair.lines.emplace_back(
        "times w(chosen) w(rejected), w = exp(mean over the response of log p(token) - log sum "
        "p^2), no gradient (use_weighting)");
  }
  if (s.ld_alpha) {
    pair.lines.push_back(
        guerdon::str("log-probs of tokens past the shorter response of the pair "
                     "count ",
                     *s.ld_alpha, " (ld_alpha)"));
  }
  Section divided{.title = "divided by",
                  .lines = {"P, the pairs of the whole optimizer step: L = sum over pairs / P"}};
  if (sft != 0.0) {
    divided.lines.push_back(
        guerdon::str("plus ", sft,
                     " x the sum of -log p(token) over the chosen responses / their tokens in the "
                     "step (sft)"));
  }
  if (loss::needs_whole_batch(s.loss)) {
    divided.lines.emplace_back(
        "the loss sorts over the step: where that has several forward passes every row is computed "
        "twice");
  }
  std::string reference =
      s.reference.empty() ? "the starting model" : "the model in " + s.reference;
  if (s.lora.r > 0 && s.reference.empty()) reference = "the policy without its adapter";
  if (s.precompute_ref_log_probs) reference += "; its sums are computed once and kept on disk";
  if (s.sync_ref_model) {
    reference += guerdon::str("; every ", s.ref_model_sync_steps, " steps it becomes ",
                              1.0 - s.ref_model_mixup_alpha, " of itself + ",
                              s.ref_model_mixup_alpha, " of the policy");
  }
  std::vector<std::string> names{"beta", "loss_type"};
  if (s.loss.loss_type.size() > 1) names.emplace_back("loss_weights");
  if (uses({"sigmoid", "robust", "exo_pair", "aot", "aot_unpaired"}))
    names.emplace_back("label_smoothing");
  names.emplace_back("f_divergence_type");
  if (uses({"discopop"})) names.emplace_back("discopop_tau");
  names.insert(names.end(), {"ld_alpha", "use_weighting", "precompute_ref_log_probs",
                             "sync_ref_model", "models.reference", "max_length"});
  DpoSettings copy = s;
  return {
      pair,
      divided,
      {.title = "signs",
       .lines = {"L is minimised: chosen responses become more likely than rejected ones, measured "
                 "against the reference",
                 guerdon::str("rewards/chosen = beta c = ", s.loss.beta,
                              " c, rewards/rejected = beta r; rewards/margins is their "
                              "difference, rewards/accuracies counts where it is above 0")}},
      {.title = "reference (p_ref)", .lines = {reference}},
      explain_step(s.train, "pairs"),
      explain_settings(settings_of(copy), names),
  };
}

void check_dpo_settings(const DpoSettings& s, const std::string& where) {
  loss::check_dpo_options(s.loss, where);
  if (s.use_weighting && loss::needs_whole_batch(s.loss)) {
    fail_settings(where,
                  "key use_weighting: has no meaning with losses that sort over the batch (aot)");
  }
  if (s.sync_ref_model && s.precompute_ref_log_probs) {
    fail_settings(where, "key sync_ref_model: a reference that moves cannot be precomputed");
  }
  if (s.sync_ref_model && s.lora.r > 0) {
    fail_settings(where,
                  "key sync_ref_model: with LoRA the reference is the model without its adapter");
  }
}

Preview preview_of(const DpoSettings& settings, const std::string& where,
                   const PreviewOptions& options) {
  check_dpo_settings(settings, where);
  const std::string& path = settings.train.model_name_or_path;
  Preview out{.unit = "pairs"};
  out.models.push_back(preview_decoder("policy", path, settings.train, true));
  preview_lora(out.models[0], settings.lora);
  if (settings.lora.r == 0 || !settings.reference.empty()) {
    PreviewModel reference = preview_decoder(
        "reference", settings.reference.empty() ? path : settings.reference, settings.train, false);
    // Computed before the first step, it does not stay.
    if (!settings.precompute_ref_log_probs) out.models.push_back(std::move(reference));
  }
  out.reference_in_forward = !settings.precompute_ref_log_probs;
  const Words words(out.models[0].folder, settings.chat_template_path, {});
  out.files =
      preview_files(settings.train, where, feed_options(settings, where, words), options.rows);
  return out;
}

std::unique_ptr<Algorithm> make_dpo(const DpoSettings& settings, const std::string& where,
                                    RunFolder& run) {
  check_dpo_settings(settings, where);
  return std::make_unique<Dpo>(settings, where, run);
}

}  // namespace guerdon::train
