#include "guerdon/reward/reward.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "guerdon/base/error.h"
#include "guerdon/reward/services.h"

namespace guerdon {

Scores score_each(const RewardBatch& batch,
                  const std::function<std::optional<float>(const Rollout&)>& judge) {
  const size_t n = batch.rollouts.size();
  Scores out;
  out.total =
      at::full({static_cast<int64_t>(n)}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);
  out.verdicts.assign(n, Verdict::no_opinion);
  float* total = out.total.data_ptr<float>();
  for (size_t i = 0; i < n; ++i) {
    try {
      if (const std::optional<float> score = judge(batch.rollouts[i])) {
        total[i] = *score;
        out.verdicts[i] = Verdict::scored;
      }
    } catch (const std::exception& e) {
      out.verdicts[i] = Verdict::failed;
      out.notes.resize(n);
      out.notes[i] = e.what();
    }
  }
  return out;
}

Example judged_row(const Rollout& rollout) {
  Example row;
  if (rollout.example) {
    row.prompt = rollout.example->prompt;
    row.fields = rollout.example->fields;
  }
  Response response;
  if (std::holds_alternative<Conversation>(row.prompt)) {
    response.text = Conversation{{.role = "assistant", .content = rollout.text, .extra = {}}};
  } else {
    response.text = rollout.text;
  }
  row.responses.push_back(std::move(response));
  return row;
}

const text::Tokenizer& Services::tokenizer() {
  fail_settings("reward", "it asks for the policy's tokenizer, and there is no policy here");
}

}  // namespace guerdon
