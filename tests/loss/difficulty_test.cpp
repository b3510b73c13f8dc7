#include "guerdon/loss/difficulty.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace guerdon::loss {
namespace {

// The numbers of the notes on DR-IRL.

TEST(ClauseSimilarity, IsTheMeanOfTheLikest) {
  const Tensor s = at::tensor({0.9, 0.3, 0.2, 0.7, 0.4, 0.5}).view({3, 2});
  EXPECT_NEAR(clause_similarity(s), 0.7, 1e-12);
  EXPECT_NEAR(clause_similarity(s, "response"), 0.8, 1e-12);
  EXPECT_EQ(clause_similarity(at::zeros({0, 2})), 0.0);
  EXPECT_EQ(clause_similarity(at::zeros({2, 0})), 0.0);
}

TEST(DataHardness, WorkedByHand) {
  const std::vector<double> w = {0.9, 0.8, 0.6, 0.5},
                            expected = {0.913893, 0.957161, 1.042206, 1.083589};
  const std::vector<double> a = data_hardness(w);
  for (size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(a[i], expected[i], 1e-6);
}

TEST(DataHardness, StaysWithinItsBounds) {
  const std::vector<double> equal = data_hardness(std::vector<double>{0.3, 0.3, 0.3});
  EXPECT_EQ(equal, (std::vector<double>{1, 1, 1}));
  // Many of one kind and one of the other: the bounds are approached, never reached.
  std::vector<double> w(1000, 0.0);
  w[0] = 1.0;
  EXPECT_NEAR(data_hardness(w)[0], 0.683940, 1e-3);
  std::fill(w.begin(), w.end(), 1.0);
  w[0] = 0.0;
  EXPECT_NEAR(data_hardness(w)[0], 1.462117, 1e-3);
  EXPECT_LT(data_hardness(w)[0], 1.462117);
  EXPECT_TRUE(data_hardness({}).empty());
}

TEST(Responsiveness, WorkedByHand) {
  const std::vector<double> gaps = {0.2, 0.4, 0.3, 3.0};
  EXPECT_NEAR(responsiveness(gaps), 0.791118, 1e-6);
  EXPECT_NEAR(responsiveness(gaps, {.keep = 3}), 0.791118, 1e-6);
  EXPECT_EQ(responsiveness(gaps, {.tau = 100}), 1.0);
  EXPECT_EQ(responsiveness(gaps, {.keep = 9}), 1.0);
  EXPECT_EQ(responsiveness(gaps, {.tau = 0}), 1.0);  // none is kept
  EXPECT_EQ(responsiveness({}), 1.0);
}

TEST(Difficulty, ScalesAdvantages) {
  // Rewards (1, 0.5, 0, -0.5), whose advantages by the population's deviation are these.
  const std::vector<double> before = {1.341641, 0.447214, -0.447214, -1.341641},
                            after = {0.970003, 0.338642, -0.368731, -1.150117};
  const std::vector<double> hardness = data_hardness(std::vector<double>{0.9, 0.8, 0.6, 0.5});
  const double a = responsiveness(std::vector<double>{0.2, 0.4, 0.3, 3.0});
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_NEAR(before[i] * hardness[i] * a, after[i], 2e-6);
}

}  // namespace
}  // namespace guerdon::loss
