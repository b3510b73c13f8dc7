#include "guerdon/generate/rollout.h"

#include <ATen/ATen.h>

#include "guerdon/base/error.h"

namespace guerdon {

std::string name_of(Finish finish) {
  switch (finish) {
    case Finish::stop: return "stop";
    case Finish::length: return "length";
    case Finish::aborted: return "aborted";
  }
  return "";
}

namespace generate {

std::vector<int64_t> group_offsets(std::span<const Rollout> rollouts) {
  std::vector<int64_t> offsets = {0};
  for (size_t i = 1; i < rollouts.size(); ++i) {
    if (rollouts[i].group != rollouts[i - 1].group) offsets.push_back(static_cast<int64_t>(i));
  }
  if (!rollouts.empty()) offsets.push_back(static_cast<int64_t>(rollouts.size()));
  return offsets;
}

Batch pack(std::span<const Rollout> rollouts, const PackRollouts& options) {
  std::vector<Sequence> sequences;
  sequences.reserve(rollouts.size());
  for (const Rollout& r : rollouts) {
    const size_t prompt = r.prompt_tokens.size(), length = prompt + r.tokens.size();
    GUERDON_CHECK(
        r.logprobs.defined() && r.logprobs.size(0) == static_cast<int64_t>(r.tokens.size()),
        "pack: rollout of group ", r.group, " has ", r.tokens.size(),
        " tokens and another number of log-probs");
    Sequence s;
    s.tokens = r.prompt_tokens;
    s.tokens.insert(s.tokens.end(), r.tokens.begin(), r.tokens.end());
    s.weight.assign(length, 0.0f);
    s.turn.assign(length, 0);
    std::vector<float>& recorded = s.columns["sampling"];
    recorded.assign(length, 0.0f);
    const Tensor logprobs = r.logprobs.to(at::kCPU, at::kFloat).contiguous();
    std::copy_n(logprobs.data_ptr<float>(), r.tokens.size(),
                recorded.begin() + static_cast<ptrdiff_t>(prompt));
    const bool masked = options.mask_truncated && r.finish == Finish::length;
    for (size_t turn = 0; turn < r.turns.size(); ++turn) {
      for (int64_t i = r.turns[turn].begin; i < r.turns[turn].end; ++i) {
        s.weight[prompt + static_cast<size_t>(i)] =
            r.turns[turn].by_policy && !masked ? 1.0f : 0.0f;
        s.turn[prompt + static_cast<size_t>(i)] = static_cast<int64_t>(turn);
      }
    }
    sequences.push_back(std::move(s));
  }
  Batch batch;
  batch.group = group_offsets(rollouts);
  batch.sequences =
      guerdon::pack(sequences, batch.group, {.share_prefixes = options.share_prefixes});
  for (size_t g = 0; g + 1 < batch.group.size(); ++g) {
    const auto& example = rollouts[static_cast<size_t>(batch.group[g])].example;
    batch.ids.push_back(example ? example->id : "");
  }
  return batch;
}

}  // namespace generate
}  // namespace guerdon
