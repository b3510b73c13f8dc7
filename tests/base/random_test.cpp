#include "guerdon/base/random.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace guerdon {

TEST(Philox, GivesThePublishedKnownAnswers) {
  // Random123's kat_vectors for philox4x32-10: counter and key all zeros, and all ones.
  EXPECT_EQ(philox({0, 0, 0, 0}, 0),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffff),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Random, IsAFunctionOfItsName) {
  const Random a(1, Purpose::sample, 2, 3), b(1, Purpose::sample, 2, 3);
  EXPECT_EQ(a.bits(7), b.bits(7));
  EXPECT_NE(a.bits(7), Random(1, Purpose::sample, 3, 2).bits(7));
  EXPECT_NE(a.bits(7), Random(1, Purpose::shuffle, 2, 3).bits(7));
  EXPECT_NE(a.bits(7), Random(2, Purpose::sample, 2, 3).bits(7));
}

TEST(Random, HasTheMomentsOfItsDistributions) {
  const Random random(42, Purpose::data);
  double sum = 0, normal_sum = 0, normal_squares = 0;
  constexpr int kDraws = 20'000;
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double u = random.uniform(i), z = random.normal(i);
    ASSERT_GT(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u, normal_sum += z, normal_squares += z * z;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 4 * 0.2887 / std::sqrt(kDraws));
  EXPECT_NEAR(normal_sum / kDraws, 0.0, 4 / std::sqrt(kDraws));
  EXPECT_NEAR(normal_squares / kDraws, 1.0, 4 * std::sqrt(2.0 / kDraws));
}

TEST(Random, PermutesEveryElementOnce) {
  auto order = Random(3, Purpose::shuffle, 1).permutation(100);
  EXPECT_NE(order, Random(3, Purpose::shuffle, 2).permutation(100));
  std::sort(order.begin(), order.end());
  for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

}  // namespace guerdon
