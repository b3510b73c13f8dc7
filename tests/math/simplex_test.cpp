#include "guerdon/math/simplex.h"

#include <gtest/gtest.h>

#include <cmath>

#include "guerdon/base/random.h"

namespace guerdon::math {
namespace {

using Vectors = std::vector<std::vector<double>>;

double product(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

std::vector<double> weights_of(const Vectors& vectors) {
  std::vector<double> products;
  for (const auto& a : vectors)
    for (const auto& b : vectors) products.push_back(product(a, b));
  return shortest_mixture(products);
}

std::vector<double> mixture(const Vectors& vectors, const std::vector<double>& weights) {
  std::vector<double> out(vectors[0].size());
  for (size_t i = 0; i < vectors.size(); ++i)
    for (size_t k = 0; k < out.size(); ++k) out[k] += weights[i] * vectors[i][k];
  return out;
}

void expect_near(const std::vector<double>& found, const std::vector<double>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-9) << i;
}

TEST(ShortestMixture, WorkedByHand) {  // MORE
  const Vectors two = {{2, 0}, {0, 1}};
  expect_near(weights_of(two), {.2, .8});
  expect_near(mixture(two, weights_of(two)), {.4, .8});
  expect_near(weights_of({{2, 0}, {0, 1}, {1, 1}}), {.2, .8, 0});
  expect_near(weights_of({{1, 0}, {3, 0}}), {1, 0});
}

TEST(ShortestMixture, OfTwoOfTheSameLengthIsHalfOfEach) {
  expect_near(weights_of({{.6, .8}, {1, 0}}), {.5, .5});
  expect_near(weights_of({{.6, .8}, {-.6, -.8}}), {.5, .5});
}

TEST(ShortestMixture, OfOneOrOfNothing) {
  expect_near(weights_of({{3, 4}}), {1});
  const std::vector<double> of_zeros = weights_of({{0, 0}, {0, 0}});
  EXPECT_NEAR(of_zeros[0] + of_zeros[1], 1, 1e-12);
}

TEST(ShortestMixture, NoVectorGoesAgainstIt) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed, Purpose::data);
    const size_t n = 1 + random.next_below(8), width = 1 + random.next_below(10);
    Vectors vectors(n, std::vector<double>(width));
    for (size_t i = 0; i < n; ++i) {
      for (size_t k = 0; k < width; ++k)
        vectors[i][k] = random.next_uniform() - (seed % 2 == 0 ? 0.5 : 0.2);
      if (i > 0 && random.next_below(4) == 0) vectors[i] = vectors[i - 1];  // twice the same
    }
    const std::vector<double> weights = weights_of(vectors);
    double sum = 0;
    for (const double weight : weights) {
      EXPECT_GE(weight, 0.0);
      sum += weight;
    }
    EXPECT_NEAR(sum, 1, 1e-12);
    const std::vector<double> shortest = mixture(vectors, weights);
    for (const auto& vector : vectors)
      EXPECT_GE(product(shortest, vector), product(shortest, shortest) - 1e-9) << seed;
  }
}

}  // namespace
}  // namespace guerdon::math
