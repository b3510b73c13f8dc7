/// What a judging language model answers: which of two responses is better, or a score for each of
/// several; and how good such an answer is beside what is known.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace guerdon::rules {

enum class Preference { first, second, tie };

/// The verdict of a judge of two responses, A and B; nullopt when there is none to be read.
/// Reasoning up to </think> does not count. The last [[...]] decides: A, B, C or tie, A>B, A>>B,
/// B>A, B>>A, A=B; without any, a last line that says A, B or tie alone, after "verdict:",
/// "answer:", "winner:", "better:" or nothing. Two different verdicts in the last line are none.
std::optional<Preference> read_verdict(std::string_view reply);

/// The scores of a judge of several, by its answer's JSON object {"scores": {ID: number, ...}},
/// which may stand in a fence or after other words.
struct ListVerdict {
  bool reasons = false;   ///< something stands before the object, or in "thoughts"
  bool parses = false;    ///< there is a JSON object
  bool has_keys = false;  ///< with "scores" and "ranking"
  bool covers = false;    ///< with a finite score for each id, and for no other
  bool agrees = false;    ///< its ranking is an order of its scores
  std::vector<std::optional<double>> scores;  ///< in the order of the ids
};
ListVerdict read_list_verdict(std::string_view reply, std::span<const std::string> ids);

/// How well scores s in [1, 5] fit the gold ones g (RewardAnything, arXiv:2506.03637, whose parts
/// are confirmed and whose formulas are not; these are ours), each in [0, 1]:
///
///     order         sum over i < j of |g_i - g_j| c / sum of |g_i - g_j|; c = 1 in the same order,
///                   1/2 for equal s, 0 reversed; 1/2 when all g are equal
///     distribution  1 - mean |sorted s - sorted g| / 4
///     near          mean of 1 where s = g, 1/2 where |s - g| <= 1, else 0
///     rank          mean of (tau_b + 1) / 2 and of whether the best of s is a best of g; tau_b is
///     0
///                   where one side does not vary
///     calibration   1 - mean |s - g| / 4; not part of the total
struct ListAccuracy {
  double order = 0, distribution = 0, near = 0, rank = 0, calibration = 0;
  double total() const { return (order + distribution + near + rank) / 4; }
};
ListAccuracy list_accuracy(std::span<const double> scores, std::span<const double> gold);

/// The reward of a list verdict: 0.15 form + 0.85 accuracy. Form is the share of its five criteria
/// that are met; accuracy is 0 unless every response is covered.
double list_reward(const ListVerdict& verdict, std::span<const double> gold);

}  // namespace guerdon::rules
