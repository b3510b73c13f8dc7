/// What a policy wrote: the ids are the record, the text is a view of it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "guerdon/data/example.h"
#include "guerdon/model/batch.h"
#include "guerdon/ops/tensor.h"

namespace guerdon {

enum class Finish { stop, length, aborted };

/// "stop", "length" or "aborted": what `finish_reason` says.
std::string name_of(Finish finish);

/// Tokens [begin, end) of Rollout::tokens, and whether the policy wrote them (a tool, otherwise).
struct Turn {
  int64_t begin, end;
  bool by_policy = true;
};

struct Rollout {
  std::shared_ptr<const Example> example;
  int64_t group = 0;    ///< prompt of the collect
  int64_t sample = 0;   ///< which of the prompt's samples
  int64_t version = 0;  ///< of the weights that wrote it
  std::vector<int64_t> prompt_tokens, tokens;
  std::vector<Turn> turns;
  std::string text;  ///< `tokens` decoded without special tokens
  Tensor logprobs;   ///< [tokens] float32: log softmax(z / temperature) over the full vocabulary
  Tensor output;     ///< a generated tensor (flow models), else undefined
  Finish finish = Finish::stop;
};

namespace generate {

/// Where each group begins, [groups + 1]: rollouts of one group stand together.
std::vector<int64_t> group_offsets(std::span<const Rollout> rollouts);

struct PackRollouts {
  bool mask_truncated = false;  ///< rollouts that ended for length have no targets (they stay rows)
  bool share_prefixes = true;   ///< as model::Backbone::shares_prefixes() says
};

/// Rollouts as one batch: each prompt once, before its rollouts. Targets are the tokens that the
/// policy wrote; their column "sampling" holds the recorded log-probs. A rollout without tokens is
/// a row without targets.
Batch pack(std::span<const Rollout> rollouts, const PackRollouts& options = {});

}  // namespace generate
}  // namespace guerdon
