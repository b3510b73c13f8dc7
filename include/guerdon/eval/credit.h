/// What benchmarks give for the scores of a row: pure functions of numbers. Scores of the right
/// candidates come first.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace guerdon::eval {

/// The scores of an item, [candidates], the first `right` of them of right candidates.
struct Scored {
  std::span<const double> scores;
  size_t right = 1;
  std::string_view id = {};
};

/// Of one pair or list: every right candidate above every wrong one.
struct PairCredit {
  double strict;  ///< 1 when the lowest right score lies above the highest wrong one
  double half;    ///< the same, 1/2 when the two are equal
};
PairCredit pair_credit(const Scored& item);

/// RewardBench 2 (arXiv:2506.01937): 1 / (number of candidates at the highest score) when a right
/// one is among them, else 0. A constant judge gets the chance of a draw.
double best_share(const Scored& item);

/// RewardMATH (arXiv:2410.01729), c the right score, w the wrong ones.
struct OneToMany {
  double accuracy;         ///< c > max w
  double accuracy_ties;    ///< c >= max w
  double reciprocal_rank;  ///< 1 / (1 + number of w >= c): ties stand before the right one
  double pairwise;         ///< share of w below c
};
/// Throws Error (Kind::bug) unless exactly one candidate is right.
OneToMany one_to_many(const Scored& item);

/// RM-Bench (arXiv:2410.16184): k right and k wrong candidates in the same k styles, plain to
/// fancy. Of the k x k comparisons right[i] > wrong[j], the shares of those where the right one is
/// plainer (hard, i < j), as plain (normal) and fancier (easy, i > j).
struct StyleCredit {
  double easy, normal, hard;
};
/// Throws Error (Kind::bug) unless half of the candidates are right, and at least two.
StyleCredit style_credit(const Scored& item);

/// RewardBench 2's Ties: many candidates are equally right. NaN is a term that the prompt has no
/// part in. A subset's score is
///
///     0.30 tied_accuracy + 0.30 ref_accuracy + 0.20 preferred + 0.20 preferred_hard + 0.01 margin
///
/// each term averaged over the prompts that have it. With best and worst right score, best wrong
/// score: D = best right - worst right, M = worst right - best wrong, accurate when M > 0.
struct TiesCredit {
  double tied_accuracy;   ///< of the prompt with several right answers ("tied:ID")
  double ref_accuracy;    ///< of the one with a single right answer ("ref:ID")
  double preferred;       ///< M_tied > D_tied
  double preferred_hard;  ///< min(M_ref, M_tied) > D_tied
  double margin;          ///< tanh(min(M_ref, M_tied) / D_tied - 1); 0 for 0 / 0
};
/// Of the items of one ID: its "ref:" and its "tied:" one, or one of them alone. Throws Error
/// (Kind::bug) for other ids.
TiesCredit ties_credit(std::span<const Scored> group);

/// A pair that people call a tie, or of which the first candidate is better (Scored::right 2 or 1).
/// The judge calls it a tie when its scores differ by at most `margin`.
struct VerdictCredit {
  double agrees;     ///< the verdict is people's
  double preferred;  ///< the better one scores higher; NaN for a tie
};
VerdictCredit verdict_credit(const Scored& pair, double margin);
/// The margin, among 0 and the absolute differences of the pairs, with the most agreement; the
/// smallest of equals.
double best_tie_margin(std::span<const Scored> pairs);

/// Contrast instructions (arXiv:2309.16155): scores of (x1, y1), (x1, y2), (x2, y2), (x2, y1).
/// Means over the two directions; `_ties` counts equal scores as right, as the released evaluation
/// does.
struct ContrastCredit {
  double response, response_ties;        ///< C_res: r(x1, y1) > r(x1, y2)
  double instruction, instruction_ties;  ///< C_ins: r(x1, y1) > r(x2, y1)
};
ContrastCredit contrast_credit(const Scored& item);

}  // namespace guerdon::eval
