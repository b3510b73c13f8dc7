/// Group Relative Policy Optimization, TRL's GRPOTrainer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "guerdon/generate/engine.h"
#include "guerdon/loss/policy.h"
#include "guerdon/reward/reward.h"
#include "guerdon/reward/services.h"
#include "guerdon/train/algorithm.h"
#include "guerdon/train/explain.h"
#include "guerdon/train/models.h"
#include "guerdon/train/preview.h"
#include "guerdon/train/prompts.h"
#include "guerdon/train/run_folder.h"
#include "guerdon/train/settings.h"

namespace guerdon::train {

/// Named as in TRL's GRPOConfig; `reward` is guerdon's own.
struct GrpoSettings {
  TrainSettings train{.learning_rate = 1e-6};
  LoraSettings lora;
  JsonSetting reward;
  loss::PolicyOptions loss;
  generate::SamplingSettings sampling;

  int64_t num_generations = 8;
  std::optional<int64_t> num_generations_eval;
  int64_t max_completion_length = 512;
  std::optional<int64_t> max_prompt_length;
  std::optional<int64_t> generation_batch_size;
  std::optional<int64_t> steps_per_generation;
  int64_t num_iterations = 1;
  std::string scale_rewards = "group";
  std::string multi_objective_aggregation = "sum_then_normalize";
  std::vector<double> reward_weights;
  bool mask_truncated_completions = false;
  bool sync_ref_model = false;
  double ref_model_mixup_alpha = 0.6;
  int64_t ref_model_sync_steps = 512;
  std::vector<std::string> stop;
  int64_t slots = 64;
  int64_t num_completions_to_print = 8;
  int64_t probes = 4;
  std::string chat_template_path;
};

void describe(SettingList& field, GrpoSettings& settings);

/// Formula, signs and denominators under these settings; what cannot be meant together is refused.
Explanation explanation_of(const GrpoSettings& settings, const std::string& where);
/// Models by their shapes, and the first rows of each file. Throws Error (Kind::settings,
/// Kind::input).
Preview preview_of(const GrpoSettings& settings, const std::string& where,
                   const PreviewOptions& options);

/// What follows from the settings: how many prompts one collect takes, and how its completions are
/// used.
struct GrpoPlan {
  int64_t prompts = 0;      ///< of one collect
  int64_t minibatches = 1;  ///< optimizer steps in one pass over a collect
  int64_t iterations = 1;   ///< passes
  int64_t steps() const { return minibatches * iterations; }
};

/// Checks the settings against each other (TRL's rules) and gives the plan. Batch sizes count
/// completions, as in TRL: per_device_train_batch_size x gradient_accumulation_steps of them make
/// an optimizer step, x steps_per_generation instead a collect. Groups are never split over
/// optimizer steps. Throws Error (Kind::settings).
GrpoPlan plan_grpo(const GrpoSettings& settings, const std::string& where);

/// What GRPO works on.
struct GrpoWorld {
  std::filesystem::path folder;  ///< of the starting model
  std::shared_ptr<model::Decoder> policy;
  std::shared_ptr<model::Decoder> reference =
      {};  ///< needed when beta is not 0, unless there is an adapter
  bool adapter =
      false;  ///< the policy is a frozen body with the adapter "default"; without it, the reference
  std::shared_ptr<const Words> words;
  std::shared_ptr<Prompts> prompts;
  std::vector<std::pair<std::string, std::shared_ptr<Prompts>>> evaluation =
      {};  ///< sets of prompts, by name
  std::vector<generate::Prompt> probes =
      {};  ///< answered greedily before and after, for samples.jsonl
  std::shared_ptr<Reward> reward;
  /// Takes a row of samples.jsonl; may be empty.
  std::function<void(int64_t step, const Json& row)> samples = {};
};

/// A response is as good as it is better than its siblings, the other responses to the same prompt
/// (Shao et al. 2024, arXiv:2402.03300). Dr. GRPO, DAPO, GSPO and the others of loss/policy.h are
/// settings.
class Grpo final : public Algorithm, private Services {
 public:
  /// The settings must outlive it. Throws Error (Kind::settings).
  Grpo(const GrpoSettings& settings, const std::string& where, GrpoWorld world);

  void parts(Parts& parts) override;
  Batch collect(int64_t step) override;
  Outputs forward(const Batch& part) override;
  Loss loss(const Outputs& outputs, const Batch& part, const Totals& whole) override;
  bool additive() const override { return settings_.loss.top_entropy_quantile >= 1.0; }
  void after_step(int64_t done) override;
  std::vector<Metric> collect_metrics() override { return metrics_; }
  int64_t rows_in_group() const override { return settings_.num_generations; }
  int64_t steps_per_epoch() const override;
  std::string data_fingerprint() const override { return world_.prompts->fingerprint(); }
  std::vector<std::string> evaluation_sets() const override;
  /// Answers all prompts of the set as a collect would, and judges them: reward, its components,
  /// lengths.
  std::optional<std::vector<Metric>> evaluate(const std::string& set) override;
  void save(NewFolder& folder) override;

  const std::vector<Rollout>& rollouts() const { return rollouts_; }  ///< of the last collect

 private:
  const text::Tokenizer& tokenizer() override { return world_.words->tokenizer(); }
  Tensor reference_logprobs(const Batch& batch);
  Tensor advantages(const Scores& scores, std::span<const int64_t> groups) const;
  std::vector<Rollout> sample(const std::vector<generate::Prompt>& prompts, int64_t count,
                              const generate::EngineOptions& options, int64_t step);
  void note_samples(int64_t step, const Tensor& advantage);
  void probe(int64_t step, const std::string& when);
  void diagnose(double flat, double truncated);

  const GrpoSettings& settings_;
  const std::string where_;
  const GrpoWorld world_;
  const GrpoPlan plan_;
  generate::EngineOptions sampling_;

  // Of the last collect; a checkpoint never needs them.
  std::vector<Rollout> rollouts_;
  std::vector<int64_t> groups_;
  Scores scores_;
  int64_t collected_at_ = 0;
  std::vector<Metric> metrics_;
  int64_t told_ = 0;
};

/// Loads what the settings name. Throws Error (Kind::settings, Kind::input).
std::unique_ptr<Algorithm> make_grpo(const GrpoSettings& settings, const std::string& where,
                                     RunFolder& run);

}  // namespace guerdon::train
