/// The one interface between the loop and the methods.
#pragma once

#include <string>
#include <vector>

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

class Algorithm;

/// The loop's side of `gradients`: accumulates over the parts of a batch.
class Gradients {
 public:
  virtual ~Gradients() = default;
  virtual void over(Algorithm& algorithm, const Batch& batch) = 0;
};

class Algorithm {
 public:
  virtual ~Algorithm() = default;
  /// Models with their parameter groups, tables, samplers, controllers: all that must survive a
  /// resume.
  virtual void parts(Parts& parts) = 0;
  /// Rows of data, or prompts -> rollouts -> rewards -> advantages, for optimizer steps from `step`
  /// (0, 1, …) on.
  virtual Batch collect(int64_t step) = 0;
  /// Models -> log-probs, reference, entropy, values, scores.
  virtual Outputs forward(const Batch& part) = 0;
  /// Numbers -> loss; pure.
  virtual Loss loss(const Outputs& outputs, const Batch& part, const Totals& whole) = 0;
  /// False when the loss needs the whole batch at once (sorting, batch statistics); the loop then
  /// joins the outputs first.
  virtual bool additive() const { return true; }
  virtual void gradients(const Batch& batch, Gradients& run) { run.over(*this, batch); }
  /// After the optimizer step: reference sync, KL controller.
  virtual void after_step(int64_t /*step*/) {}
  /// Metrics of the last collect that are not of the loss (rewards, lengths); asked once per
  /// collect.
  virtual std::vector<Metric> collect_metrics() { return {}; }
};

}  // namespace guerdon
