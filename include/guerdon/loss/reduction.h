/// Exact accumulation: a loss returns its part's share of the whole optimizer step, so that shares
/// add up and nothing is scaled afterwards. Batch x accumulation x ranks is a speed knob only.
#pragma once

#include <string>

#include "guerdon/model/batch.h"

namespace guerdon {

/// What the whole optimizer step holds, over all micro-batches and ranks, counted before the first
/// backward.
struct Totals {
  double groups = 0;                      ///< pairs, prompts
  double rows = 0;                        ///< sequences
  double targets = 0;                     ///< target tokens with a weight other than 0
  double target_weight = 0;               ///< sum of Targets::weight
  std::map<std::string, double> columns;  ///< sums of Batch::columns, NaN left out
};

Totals totals_of(const Batch& batch);

/// Those of two batches together.
Totals operator+(const Totals& a, const Totals& b);

namespace loss {

/// What a per-token loss is divided by. Every form gives a share; the shares of a step's parts add
/// up to the step's loss.
enum class Reduction {
  token_mean,     ///< sum over tokens / tokens of the step (TRL: nll, dapo, cispo;
                  ///< "token level")
  sequence_mean,  ///< mean over sequences of each one's token mean (TRL: grpo)
  sequence_sum,   ///< mean over sequences of each one's token sum (TRL: luspo)
  fixed_length,   ///< sum over tokens / (sequences x a fixed length) (TRL:
                  ///< dr_grpo)
};

/// This part's share of the reduction: values [n], one per target; scalar. Tokens are weighted by
/// Targets::weight, and the tokens of the step counted so; a token of weight 0 is left out,
/// whatever its value is (NaN included). A sequence without targets counts as a sequence and adds
/// nothing; a step without targets gives 0. `length` is for fixed_length alone. Throws Error
/// (Kind::bug) when the sizes disagree.
Tensor reduce(const Tensor& values, const Targets& targets, Reduction reduction,
              const Totals& whole, double length = 0.0);

/// The same as a number to log: the token mean, without gradient.
Tensor token_share(const Tensor& values, const Targets& targets, const Totals& whole);

/// Sums over each sequence's targets, weighted: values [n] -> [rows]. Differentiable.
Tensor row_sums(const Tensor& values, const Targets& targets, int64_t rows);

/// Sum of the targets' weights of each sequence: [rows] in the weights' type.
Tensor row_weights(const Targets& targets, int64_t rows);

/// This part's share of a mean over groups or rows: sum of `values` / `count`; 0 when nothing is
/// counted. Differentiable.
Tensor share(const Tensor& values, double count);

}  // namespace loss
}  // namespace guerdon
