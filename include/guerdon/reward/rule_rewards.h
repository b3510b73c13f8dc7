/// Rewards from fixed rules. Text or ids in, number out; the pure halves are in guerdon/rules.
#pragma once

#include <cstdint>
#include <string>

#include "guerdon/base/settings.h"
#include "guerdon/reward/reward.h"

namespace guerdon {

/// 1 while the response stays within `limit` characters, falling to 0 at twice the limit. No
/// opinion about an empty one.
class Brevity final : public Reward {
 public:
  struct Options {
    int64_t limit = 400;
  };
  explicit Brevity(const Options& options) : options_(options) {}
  Scores score(const RewardBatch& batch) override;

 private:
  Options options_;
};

/// Number of the response's tokens.
class Length final : public Reward {
 public:
  Scores score(const RewardBatch& batch) override;
};

/// 1 when the response begins with one <think>...</think>, else 0 (TRL's think_format_reward).
class ThinkFormat final : public Reward {
 public:
  Scores score(const RewardBatch& batch) override;
};

/// 1 when the answer is the one in the row's `field`, else 0; reasoning up to </think> does not
/// count. A row whose field is missing, or is no number where numbers are compared, gives no
/// opinion.
class Accuracy final : public Reward {
 public:
  struct Options {
    std::string field = "solution";
    std::string match =
        "number";  ///< number: the last \boxed{} or else the last number; text: the whole answer
  };
  explicit Accuracy(const Options& options) : options_(options) {}
  Scores score(const RewardBatch& batch) override;

 private:
  Options options_;
};

/// max_penalty x share of repeated n-grams of token ids, in [max_penalty, 0] (TRL's
/// get_repetition_penalty_reward).
class RepetitionPenalty final : public Reward {
 public:
  struct Options {
    int64_t ngram_size = 3;
    double max_penalty = -1.0;
  };
  explicit RepetitionPenalty(const Options& options) : options_(options) {}
  Scores score(const RewardBatch& batch) override;

 private:
  Options options_;
};

/// 0 for short responses, falling to -1 over the last `soft_punish_cache` tokens before
/// max_completion_len (DAPO).
class SoftOverlong final : public Reward {
 public:
  struct Options {
    int64_t max_completion_len = 512;
    int64_t soft_punish_cache = 128;
  };
  explicit SoftOverlong(const Options& options) : options_(options) {}
  Scores score(const RewardBatch& batch) override;

 private:
  Options options_;
};

/// The known reward of guerdon's own synthetic data (data/make.h), in [-0.2, 1]: beside a learned
/// reward, with weight 0, it shows when the two part. A prompt that is none of the task's is a
/// failure.
class Truth final : public Reward {
 public:
  struct Options {
    std::string task = "words";
  };
  explicit Truth(const Options& options) : options_(options) {}
  Scores score(const RewardBatch& batch) override;

 private:
  Options options_;
};

void describe(SettingList& field, Truth::Options& options);
void describe(SettingList& field, Brevity::Options& options);
void describe(SettingList& field, Accuracy::Options& options);
void describe(SettingList& field, RepetitionPenalty::Options& options);
void describe(SettingList& field, SoftOverlong::Options& options);

}  // namespace guerdon
