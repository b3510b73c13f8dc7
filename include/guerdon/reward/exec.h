/// Any program as a reward.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "guerdon/base/settings.h"
#include "guerdon/reward/reward.h"

namespace guerdon {

class Process;

/// Talks to a program in JSON lines. It is started once and asked one rollout after the other; a
/// line in, a line out:
///
///     {"prompt": "..." or [messages], "completion": "...", "tokens": 12, "finish_reason": "stop",
///     "id": "...", "sample": 0, "step": 7,
///      "row": {every other column of the data}}
///     {"score": 0.5, "note": "why"}   or the number alone; null is no opinion; {"error": "..."} is
///     a failure
///
/// A program that does not answer within `timeout_s` is killed with everything that it started, and
/// replaced: that rollout has timed out, the next ones are judged by the new one. One that ends, or
/// answers anything else, fails on that rollout.
class Exec final : public Reward {
 public:
  struct Options {
    std::vector<std::string> command;
    double timeout_s = 10.0;
  };
  /// Throws Error (Kind::settings) for an empty command.
  explicit Exec(const Options& options);
  ~Exec() override;
  Scores score(const RewardBatch& batch) override;

 private:
  Options options_;
  std::unique_ptr<Process> process_;
};

void describe(SettingList& field, Exec::Options& options);

}  // namespace guerdon
