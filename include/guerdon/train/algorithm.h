/// The one interface between the loop and the methods.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/base/file.h"
#include "guerdon/loss/reduction.h"
#include "guerdon/model/batch.h"
#include "guerdon/optim/parts.h"

namespace guerdon {

/// What the models said about a part; an algorithm fills what its loss reads. Log-probs and entropy
/// are per target [n], scores per row [rows] or [rows, K], values per target.
struct Outputs {
  Tensor logprobs, reference, entropy, values, scores;
  Columns extra;
};

/// A number to log. Shares of the parts of a step are added up (or their extreme is taken); the
/// value stays on its device until the step's metrics are written.
struct Metric {
  enum class Merge { sum, min, max };
  std::string name;
  Tensor value;  ///< scalar
  Merge merge = Merge::sum;
};

struct Loss {
  Tensor value;  ///< scalar: this part's share of the step's loss
  std::vector<Metric> metrics;
};

/// A loss over rows, as the loop takes it apart: models -> numbers, numbers -> loss.
struct Term {
  std::function<Outputs(const Batch& part)> forward;
  std::function<Loss(const Outputs& outputs, const Batch& part, const Totals& whole)> loss;
  bool additive = true;  ///< as Algorithm::additive
  bool is_loss =
      true;  ///< its value is part of the step's loss; otherwise its metrics alone are told
};

/// The loop's side of `gradients`: goes through a batch part by part.
class Gradients {
 public:
  virtual ~Gradients() = default;
  /// Adds a term's gradients, and its loss and metrics to those of the step.
  virtual void over(const Term& term, const Batch& batch) = 0;
  /// What is said of all rows, joined, without a graph.
  virtual Outputs outputs(const std::function<Outputs(const Batch& part)>& forward,
                          const Batch& batch) = 0;
  virtual void add(const Metric& metric) = 0;  ///< to those of the step
};

/// What a collect throws that gave up because a stop was asked for (base/signals.h). It must have
/// changed nothing that `parts` lists: the run saves itself, and collects again when it resumes.
struct CollectStopped {};

class Algorithm {
 public:
  virtual ~Algorithm() = default;
  /// Models with their parameter groups, tables, samplers, controllers: all that must survive a
  /// resume.
  virtual void parts(Parts& parts) = 0;
  /// Rows of data, or prompts -> rollouts -> rewards -> advantages, for the optimizer steps from
  /// `step` (0, 1, ...) on. An offline method gives the groups of one step; others say in
  /// Batch::plan how many steps are made of it.
  virtual Batch collect(int64_t step) = 0;
  /// Models -> log-probs, reference, entropy, values, scores.
  virtual Outputs forward(const Batch& part) = 0;
  /// Numbers -> loss; pure.
  virtual Loss loss(const Outputs& outputs, const Batch& part, const Totals& whole) = 0;
  /// False when the loss needs the whole batch at once (sorting, batch statistics); the loop then
  /// joins the outputs first.
  virtual bool additive() const { return true; }
  /// Its own forward and loss, as the loop calls them.
  Term term() {
    return {.forward = [this](const Batch& part) { return forward(part); },
            .loss = [this](const Outputs& outputs, const Batch& part,
                           const Totals& whole) { return loss(outputs, part, whole); },
            .additive = additive()};
  }
  /// The gradients of a step. Others than term()'s: what is learnt beside it from rows of its own,
  /// gradients taken elsewhere. May be called again for the same batch.
  virtual void gradients(const Batch& batch, Gradients& run) { run.over(term(), batch); }
  /// After each optimizer step, of which `done` are done by now: reference sync, KL controller.
  virtual void after_step(int64_t /*done*/) {}
  /// Metrics of the last collect that are not of the loss (rewards, lengths); asked once per
  /// collect.
  virtual std::vector<Metric> collect_metrics() { return {}; }

  /// Rows of a group, where per_device_train_batch_size counts rows and not groups (completions).
  virtual int64_t rows_in_group() const { return 1; }
  /// Optimizer steps in one pass over the data, the last one possibly smaller; > 0.
  virtual int64_t steps_per_epoch() const = 0;
  /// Tells one set of training rows from another; a run does not resume on other rows.
  virtual std::string data_fingerprint() const = 0;
  /// Names of the evaluation sets; one alone is usually called "eval".
  virtual std::vector<std::string> evaluation_sets() const { return {}; }
  /// Batch `index` (0, 1, ...) of an evaluation set, nullopt past its end: the same whenever it is
  /// asked for. Its metrics are those of `loss`.
  virtual std::optional<Batch> evaluation(const std::string& /*set*/, int64_t /*index*/) {
    return std::nullopt;
  }
  /// The metrics of an evaluation set, of a method whose evaluation is not a loss over rows (it
  /// answers prompts, and what it wrote is judged). Must change nothing that `parts` lists, and is
  /// not cut short by a signal: its step is whole before the run saves itself.
  virtual std::optional<std::vector<Metric>> evaluate(const std::string& /*set*/) {
    return std::nullopt;
  }
  /// Writes the trained model as a Hugging Face folder (weights, configuration, tokenizer).
  virtual void save(NewFolder& folder) = 0;
  /// Opens what `save` wrote and compares; throws Error when it is not the model in memory. Called
  /// before the save counts.
  virtual void check_saved(const std::filesystem::path& /*folder*/) {}
};

}  // namespace guerdon
