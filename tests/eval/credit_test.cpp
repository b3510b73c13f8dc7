#include "guerdon/eval/credit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "guerdon/base/random.h"
#include "support/errors.h"

namespace guerdon::eval {
namespace {

using Values = std::vector<double>;

TEST(Credit, OfAPairATieIsWrongOrHalf) {
  const Values won{1, 0}, lost{0, 1}, equal{2, 2};
  EXPECT_EQ(pair_credit({won}).strict, 1);
  EXPECT_EQ(pair_credit({lost}).half, 0);
  EXPECT_EQ(pair_credit({equal}).strict, 0);
  EXPECT_EQ(pair_credit({equal}).half, 0.5);
  const Values several{3, 2, 2.5, 1};  // the second right one lies below the first wrong one
  EXPECT_EQ(pair_credit({several, 2}).strict, 0);
}

TEST(Credit, BestShareIsDividedAmongThoseAtTheTop) {
  const Values first{3, 1, 2, 0}, two{3, 3, 2, 0}, beaten{1, 3, 2, 0}, constant{1, 1, 1, 1};
  EXPECT_DOUBLE_EQ(best_share({first}), 1);
  EXPECT_DOUBLE_EQ(best_share({two}), 0.5);
  EXPECT_DOUBLE_EQ(best_share({beaten}), 0);
  EXPECT_DOUBLE_EQ(best_share({constant}), 0.25);
}

TEST(Credit, OneToManyRanksTiesAgainstTheRightOne) {
  const Values scores{.7, .9, .7, .2, .1};
  const OneToMany credit = one_to_many({scores});
  EXPECT_NEAR(credit.reciprocal_rank, 0.333333, 1e-6);
  EXPECT_EQ(credit.accuracy, 0);
  EXPECT_EQ(credit.accuracy_ties, 0);
  EXPECT_EQ(credit.pairwise, 0.5);
  const Values equal(10, 0.4);
  EXPECT_DOUBLE_EQ(one_to_many({equal}).reciprocal_rank, 0.1);
  EXPECT_EQ(one_to_many({equal}).accuracy, 0);
  EXPECT_EQ(one_to_many({equal}).accuracy_ties, 1);
  test::refusal(Kind::bug, [&] { one_to_many({scores, 2}); });
}

TEST(Credit, StylesByHand) {
  // Wins, right styles down, wrong ones across:   . x x      hard  (above the diagonal) 1 of 3
  //                                                1 . 1      normal (the diagonal)      2 of 3
  //                                                1 1 .      easy  (below)              3 of 3
  const Values scores{1, 2, 3, 0.5, 2.5, 1.5};
  const StyleCredit credit = style_credit({scores, 3});
  EXPECT_DOUBLE_EQ(credit.hard, 1.0 / 3);
  EXPECT_DOUBLE_EQ(credit.normal, 2.0 / 3);
  EXPECT_DOUBLE_EQ(credit.easy, 1);
  test::refusal(Kind::bug, [&] { style_credit({scores, 2}); });
}

double ties_score(const std::vector<std::vector<Values>>& groups) {
  // {right of ref, wrong of ref, right of tied, wrong of tied}, all prompts in pairs.
  double sums[5] = {};
  for (const std::vector<Values>& g : groups) {
    Values ref = g[0], tied = g[2];
    ref.insert(ref.end(), g[1].begin(), g[1].end());
    tied.insert(tied.end(), g[3].begin(), g[3].end());
    const std::vector<Scored> items{{ref, g[0].size(), "ref:1"}, {tied, g[2].size(), "tied:1"}};
    const TiesCredit credit = ties_credit(items);
    const double terms[5] = {credit.tied_accuracy, credit.ref_accuracy, credit.preferred,
                             credit.preferred_hard, credit.margin};
    for (int k = 0; k < 5; ++k) sums[k] += terms[k] / static_cast<double>(groups.size());
  }
  return .3 * sums[0] + .3 * sums[1] + .2 * sums[2] + .2 * sums[3] + .01 * sums[4];
}

TEST(Credit, TiesWorked) {
  const std::vector<std::vector<Values>> groups{{{2.0}, {0.5, -1}, {1.8, 1.5, 2.0}, {0.7, 0.2}},
                                                {{1.0}, {1.5, 0}, {1.2, 0.9}, {0.7, 0.1}}};
  EXPECT_NEAR(ties_score(groups), 0.647733, 1e-6);
  // Invariant to a linear map of the scores, not to any rising one.
  auto mapped = groups, cubed = groups;
  for (auto& group : mapped)
    for (Values& values : group)
      for (double& v : values) v = 3 * v - 7;
  for (auto& group : cubed)
    for (Values& values : group)
      for (double& v : values) v = v * v * v;
  EXPECT_NEAR(ties_score(mapped), 0.647733, 1e-6);
  EXPECT_GT(std::abs(ties_score(cubed) - 0.647733), 1e-3);
}

TEST(Credit, TiesOfOnePromptAloneHasNoPartInTheRest) {
  const Values tied{2, 1.5, 1};
  const std::vector<Scored> alone{{tied, 2, "tied:3"}};
  const TiesCredit credit = ties_credit(alone);
  EXPECT_EQ(credit.tied_accuracy, 1);
  EXPECT_TRUE(std::isnan(credit.ref_accuracy) && std::isnan(credit.preferred) &&
              std::isnan(credit.margin));
  // No spread: the ratio is infinite, and its tanh 1; with no gap either the term is 0.
  const Values ref{1, 0}, level{1, 1, 0}, flat{1, 1, 1};
  const std::vector<Scored> sharp{{ref, 1, "ref:3"}, {level, 2, "tied:3"}},
      dull{{std::span(flat).first(2), 1, "ref:3"}, {flat, 2, "tied:3"}};
  EXPECT_EQ(ties_credit(sharp).margin, 1);
  EXPECT_EQ(ties_credit(dull).margin, 0);
}

TEST(Credit, VerdictsKnowTies) {
  const Values close{1.0, 0.9}, apart{2, 0}, behind{0, 2};
  EXPECT_EQ(verdict_credit({close, 2}, 0.2).agrees, 1);
  EXPECT_EQ(verdict_credit({close, 1}, 0.2).agrees, 0) << "the judge calls it a tie";
  EXPECT_EQ(verdict_credit({close, 1}, 0).agrees, 1);
  EXPECT_EQ(verdict_credit({apart, 2}, 0.2).agrees, 0);
  EXPECT_EQ(verdict_credit({behind, 1}, 0.2).agrees, 0);
  EXPECT_TRUE(std::isnan(verdict_credit({apart, 2}, 0).preferred));
}

TEST(Credit, TheBestTieMarginIsThatOfTryingAll) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed, Purpose::data);
    std::vector<Values> scores;
    std::vector<Scored> pairs;
    for (int i = 0; i < 30; ++i)
      scores.push_back(
          {std::floor(8 * random.next_uniform()), std::floor(8 * random.next_uniform())});
    for (const Values& pair : scores) pairs.push_back({pair, 1 + random.next_below(2)});
    const auto agreement = [&](double margin) {
      double sum = 0;
      for (const Scored& pair : pairs) sum += verdict_credit(pair, margin).agrees;
      return sum;
    };
    double best = 0;
    for (double margin = 1; margin <= 8; ++margin) {
      if (agreement(margin) > agreement(best)) best = margin;
    }
    EXPECT_EQ(best_tie_margin(pairs), best) << "seed " << seed;
  }
}

TEST(Credit, ContrastWorked) {
  // (x1, y1) .9, (x1, y2) .4, (x2, y2) .3, (x2, y1) 1.1
  const Values scores{.9, .4, .3, 1.1};
  const ContrastCredit credit = contrast_credit({scores, 2});
  EXPECT_EQ(credit.response, 0.5);
  EXPECT_EQ(credit.instruction, 0);
  // A judge that ignores the instruction: C_res 1/2, C_ins 0, or 1 where ties count.
  const Values blind{.9, .4, .4, .9};
  EXPECT_EQ(contrast_credit({blind, 2}).response, 0.5);
  EXPECT_EQ(contrast_credit({blind, 2}).instruction, 0);
  EXPECT_EQ(contrast_credit({blind, 2}).instruction_ties, 1);
}

}  // namespace
}  // namespace guerdon::eval
