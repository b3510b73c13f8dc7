/// Synthetic data whose true reward is known: instructions about words, imperfect demonstrations,
/// and preference pairs drawn by Bradley-Terry from the true reward. What a reward model learns and
/// what a policy gains can then be compared with the truth.
///
/// Task "words", over 42 short words: "Reverse cat dog sun:", "Repeat cat 3 times:", "First of
/// ...", "Last of ...", "Swap cat and dog:", "Double cat dog:", "Join cat and dog and sun:". The
/// answer to the first is " sun dog cat".
///
///     reward(prompt, completion) = 0.6 similarity + 0.4 [completion is the answer] - 0.2 min(1,
///     excess) similarity = 1 - edit distance / longer length, excess = words beyond the answer's /
///     words of the answer
///
/// over words, whatever white space is around them: 1 for the answer alone, 0 for nothing, at least
/// -0.2.
///
/// Demonstrations are a mixture, so that imitation leaves room: right (45 %), one wrong word (20
/// %), "sure here is" before the answer (15 %), the answer twice (10 %), the words merely repeated
/// (10 %). A decoder of a million parameters learns to imitate it in some 300 steps of 64 rows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace guerdon::data {

/// The true reward of a completion, in [-0.2, 1]; `prompt` is the instruction (white space around
/// it does not matter). Throws Error: Kind::settings for an unknown task, Kind::input for a prompt
/// that is none of the task's.
double true_reward(std::string_view prompt, std::string_view completion,
                   std::string_view task = "words");

/// The completion with true reward 1. Throws as true_reward does.
std::string true_answer(std::string_view prompt, std::string_view task = "words");

struct MakeOptions {
  std::string task = "words";
  uint64_t seed = 0;
  int64_t sft = 20'000;     ///< demonstrations
  int64_t pairs = 4'000;    ///< preference pairs
  int64_t prompts = 4'000;  ///< instructions alone
  int64_t eval = 400;       ///< rows of each held-out file
  /// Rated responses: "helpfulness", the true reward, "correctness", its similarity, and "brevity",
  /// 1 less its excess, each as a whole number from 0 to 4; one in five of the latter two is null.
  int64_t ratings = 0;
  /// Responses with a "principle" and whether it holds, the "label": "the answer is right" (the
  /// completion is the answer), "nothing is added" (no excess), "most words are right" (a
  /// similarity of at least a half).
  int64_t feedback = 0;
  /// Solutions in steps, a word each ("prompt", "completions", "labels"): a step is right as long
  /// as all words so far are those of the answer.
  int64_t steps = 0;
  /// Prompts with four responses, some of them alike, and "ranks": drawn by Plackett-Luce from the
  /// true rewards at `temperature`.
  int64_t lists = 0;
  /// Prompts with three responses in order: "the model's", which is the answer; "a person's", a
  /// demonstration that is not; and between them the person's with half of its words out of the
  /// model's. Beside the held-out ones texts_eval, single texts with label 1 (the model's) or 0 (a
  /// person's): what a detector of generated text is trained and judged on.
  int64_t chains = 0;
  /// Single responses with "label", whether it is the answer, and "category", the kind of
  /// instruction.
  int64_t labels = 0;
  double temperature =
      0.2;  ///< P(first is preferred) = sigmoid((reward 1 - reward 2) / temperature)
  /// Share of labels that are swapped after the draw, in [0, 1]; above 0 "clean" says of which they
  /// were not.
  double flip = 0.0;
  bool ties = false;  ///< keep pairs of equal true reward (order by chance, "tie": true); otherwise
                      ///< they are drawn anew
  bool margins =
      false;  ///< write "margin": the difference of the true rewards, chosen less rejected
  bool strengths = false;  ///< write "strength", how much better one is to an annotator (1, 2, 3,
                           ///< by thirds of the true rewards' difference), and "strength_mean", the
                           ///< true rewards' difference, chosen less rejected: what the mean of
                           ///< many good judges would come to
  bool conversational = false;  ///< messages in place of plain text
};

struct MadeFile {
  std::string name;  ///< "pairs.jsonl"
  std::string text;
};

/// All files: sft, pairs, prompts, ratings, feedback, steps, lists, chains, labels (each .jsonl and
/// _eval.jsonl), texts_eval.jsonl and truth.json, which describes the task and what to expect of it
/// (mean true reward of the demonstrations, of the chosen and the rejected, best accuracy that a
/// judge can have on the pairs). A pure function of the options. Instructions of the held-out files
/// never occur in the others. Throws Error (Kind::settings) for options out of range.
std::vector<MadeFile> make_data(const MakeOptions& options);

}  // namespace guerdon::data
