/// A language model that judges: it is asked in words, and its words are read.
#pragma once

#include <memory>
#include <string>

#include "guerdon/base/settings.h"
#include "guerdon/generate/sampling.h"
#include "guerdon/reward/reward.h"

namespace guerdon {

/// Scores of the responses to one prompt, by a model that `data judge` and `train sft` made, or by
/// any other that can answer the question (data/judge_question.h). What a reply says depends on the
/// question and the seed alone.
///
/// * pair, read=text: each response is compared with `opponents` others, in both orders; a win is
/// 1,
///   a tie 1/2, a loss 0; the score is the mean, in [0, 1].
/// * pair, read=contrast: nothing is generated. s(a, b) = log P([[A]]) - log P([[B]]) of the reply;
///   the score is the mean of (s(a, b) - s(b, a)) / 2 (Rubric-RM, arXiv:2510.07743): a judge that
///   goes by position gives 0.
/// * list: all responses in one question, in an order drawn by chance; the score is the number that
///   the reply gives (RewardAnything, arXiv:2506.03637).
///
/// With `votes` above 1 so many replies are read for each question, and their mean is taken. A
/// reply without a verdict does not count ("judge/malformed" in the counts). A response that no
/// reply has judged, or that has no other to be compared with, gets no opinion.
class Judge final : public Reward {
 public:
  struct Options {
    std::string path;
    std::string form = "pair";
    std::string question;  ///< a Jinja file in place of the built-in one
    std::string read = "text";
    int64_t opponents = 0;  ///< 0: all others
    int64_t votes = 1;
    generate::SamplingSettings sampling{.temperature = 0.0};
    int64_t max_new_tokens = 512;
    int64_t seed = 42;
    bool bf16 = false;
    /// Ask as the user, where the model has a chat template; false: plain text, as the rows of
    /// `data judge` without --conversational are.
    bool conversational = true;
  };
  /// Throws Error: Kind::input for the folder or the template, Kind::settings for what cannot be
  /// meant together.
  explicit Judge(const Options& options);
  ~Judge() override;
  Scores score(const RewardBatch& batch) override;

 private:
  struct Loaded;
  void score_pairs(const RewardBatch& batch, Scores& scores);
  void score_lists(const RewardBatch& batch, Scores& scores);
  Options options_;
  std::unique_ptr<Loaded> loaded_;
};
void describe(SettingList& field, Judge::Options& options);

/// Rewards a judge's own reply, for training one: what it says against what is known. `pair`: 1
/// when its verdict is that of the row's `verdict` (A, B or C), else 0. `list`: rules::list_reward
/// against the row's `gold_scores`, {ID: number}. A row without the field gives no opinion.
class VerdictReward final : public Reward {
 public:
  struct Options {
    std::string form = "pair";
  };
  explicit VerdictReward(const Options& options) : options_(options) {}
  Scores score(const RewardBatch& batch) override;

 private:
  Options options_;
};
void describe(SettingList& field, VerdictReward::Options& options);

}  // namespace guerdon
