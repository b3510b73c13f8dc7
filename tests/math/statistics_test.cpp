#include "guerdon/math/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "guerdon/base/random.h"
#include "support/errors.h"

namespace guerdon::math {
namespace {

using Values = std::vector<double>;

TEST(Statistics, AverageDeviationAndQuantileByHand) {
  const Values v{4, 1, 3, 2};
  EXPECT_DOUBLE_EQ(average(v), 2.5);
  EXPECT_NEAR(standard_deviation(v), std::sqrt(5.0 / 3), 1e-15);
  EXPECT_DOUBLE_EQ(quantile(v, 0), 1);
  EXPECT_DOUBLE_EQ(quantile(v, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile(v, 0.9), 3.7);  // position 2.7: 3 + 0.7 (4 - 3)
  EXPECT_DOUBLE_EQ(quantile(v, 1), 4);
}

TEST(Statistics, OfNothingIsNaN) {
  EXPECT_TRUE(std::isnan(average({})));
  EXPECT_TRUE(std::isnan(standard_deviation({})));
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
  EXPECT_TRUE(std::isnan(auroc({}, Values{1})));
  EXPECT_DOUBLE_EQ(standard_deviation(Values{7}), 0);
}

TEST(Statistics, EqualValuesShareTheirRanks) {
  EXPECT_EQ(ranks(Values{10, 20, 20, 5}), (Values{2, 3.5, 3.5, 1}));
}

TEST(Statistics, CorrelationsByHand) {
  const Values x{1, 2, 3, 4}, y{1, 3, 2, 8};
  // Sums of products about the means 2.5 and 3.5: xy = 3.75 + 0.25 - 0.75 + 6.75 = 10, xx = 5, yy
  // = 29.
  EXPECT_NEAR(pearson(x, y), 10 / std::sqrt(5.0 * 29), 1e-15);
  EXPECT_NEAR(spearman(x, y), 0.8, 1e-15);  // 1 - 6 * 2 / (4 * 15)
  EXPECT_NEAR(kendall(x, y), (5.0 - 1) / 6, 1e-15);
}

TEST(Statistics, KendallCountsTiesLikeTheDirectSum) {
  Random random(7, Purpose::choose);
  Values x, y;
  for (int i = 0; i < 60; ++i) {
    x.push_back(static_cast<double>(random.next_below(8)));
    y.push_back(static_cast<double>(random.next_below(5)));
  }
  double score = 0, x_pairs = 0, y_pairs = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const double a = (x[i] > x[j]) - (x[i] < x[j]), b = (y[i] > y[j]) - (y[i] < y[j]);
      score += a * b;
      x_pairs += a * a;
      y_pairs += b * b;
    }
  }
  EXPECT_NEAR(kendall(x, y), score / std::sqrt(x_pairs * y_pairs), 1e-14);
}

TEST(Statistics, CorrelationWithAConstantIsNaN) {
  const Values constant{1, 1, 1}, rising{1, 2, 3};
  EXPECT_TRUE(std::isnan(pearson(constant, rising)));
  EXPECT_TRUE(std::isnan(spearman(rising, constant)));
  EXPECT_TRUE(std::isnan(kendall(rising, constant)));
  EXPECT_TRUE(std::isnan(pearson(Values{1}, Values{2})));
}

TEST(Statistics, CorrelationIsUnchangedByScaleAndSignedByDirection) {
  const Values x{0.5, -1, 4, 2}, y{1, 0, 3, 5};
  Values scaled, flipped;
  for (const double v : x) scaled.push_back(1e6 * v + 3), flipped.push_back(-v);
  EXPECT_NEAR(pearson(scaled, y), pearson(x, y), 1e-12);
  EXPECT_DOUBLE_EQ(spearman(flipped, y), -spearman(x, y));
  EXPECT_DOUBLE_EQ(kendall(flipped, y), -kendall(x, y));
}

TEST(Statistics, AurocCountsTiesHalf) {
  EXPECT_DOUBLE_EQ(auroc(Values{3, 2}, Values{1, 2}), (1 + 1 + 1 + 0.5) / 4);
  EXPECT_DOUBLE_EQ(auroc(Values{1}, Values{1}), 0.5);
}

TEST(Histogram, CountsByHand) {
  const Histogram h = histogram(Values{0, 0.9, 1, 2.5, 4, NAN}, {.bins = 4});
  EXPECT_DOUBLE_EQ(h.start, 0);
  EXPECT_DOUBLE_EQ(h.width, 1);
  EXPECT_EQ(h.counts,
            (std::vector<int64_t>{2, 1, 1, 1}));  // the greatest value belongs to the last bin
}

TEST(Histogram, DividesAtAValue) {
  const Histogram h = histogram(Values{-1.5, -0.1, 0.0, 0.1, 3}, {.bins = 9, .divide = 0.0});
  double below = 0;
  for (size_t i = 0; i < h.counts.size(); ++i) {
    const double low = h.start + h.width * static_cast<double>(i);
    EXPECT_FALSE(low < -1e-9 && low + h.width > 1e-9) << "a bin lies across the value";
    if (low < -1e-9) below += static_cast<double>(h.counts[i]);
  }
  EXPECT_EQ(below, 2);
}

TEST(Histogram, HoldsEveryFiniteValue) {
  const Random random(4, Purpose::data);
  Values v;
  for (uint64_t i = 0; i < 1000; ++i) v.push_back(1e6 * random.normal(i));
  for (const auto& options :
       {HistogramOptions{}, HistogramOptions{.divide = 0.0}, HistogramOptions{.divide = 1e12}}) {
    int64_t sum = 0;
    for (const int64_t count : histogram(v, options).counts) sum += count;
    EXPECT_EQ(sum, 1000);
  }
  EXPECT_EQ(histogram(Values{5, 5}).counts.size(), 8u);
  EXPECT_EQ(histogram({}).counts, std::vector<int64_t>(8));
}

TEST(Statistics, RefusesUnequalSizes) {
  EXPECT_NE(test::refusal(Kind::bug,
                          [] {
                            pearson(Values{1, 2}, Values{1});
                          })
                .find("2 and 1 values"),
            std::string::npos);
  EXPECT_NE(test::refusal(Kind::bug, [] { quantile(Values{1}, 1.5); }).find("1.5"),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon::math
