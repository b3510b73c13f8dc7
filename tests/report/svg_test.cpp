#include "guerdon/report/svg.h"

#include <gtest/gtest.h>

#include <cmath>

#include "guerdon/base/random.h"
#include "support/errors.h"

namespace guerdon::report {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Every opened element is closed, in order: what an XML parser would ask for.
bool well_formed(const std::string& xml) {
  std::vector<std::string> open;
  for (size_t at = 0; (at = xml.find('<', at)) != std::string::npos;) {
    const size_t end = xml.find('>', at);
    if (end == std::string::npos) return false;
    const std::string tag = xml.substr(at + 1, end - at - 1);
    const std::string name = tag.substr(tag.front() == '/' ? 1 : 0,
                                        tag.find_first_of(" /", 1) - (tag.front() == '/' ? 1 : 0));
    if (tag.front() == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
    at = end;
  }
  return open.empty();
}

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
  return n;
}

Series line(size_t points) {
  Series s{"s", {}, {}};
  for (size_t i = 0; i < points; ++i) {
    s.x.push_back(static_cast<double>(i));
    s.y.push_back(2 * static_cast<double>(i) + 1);
  }
  return s;
}

TEST(ShortNumber, IsForPeople) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(0.12345), "0.123");
  EXPECT_EQ(short_number(1234), "1234");
  EXPECT_EQ(short_number(12345), "12.3k");
  EXPECT_EQ(short_number(2.5e6), "2.5M");
  EXPECT_EQ(short_number(3.2e-6), "3.2e-06");
  EXPECT_EQ(short_number(-0.5), "-0.5");
  EXPECT_EQ(short_number(kNaN), "-");
}

TEST(NiceTicks, AreRoundAndInside) {
  EXPECT_EQ(nice_ticks(0, 1), (std::vector<double>{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1}));
  EXPECT_EQ(nice_ticks(-7, 93, 5), (std::vector<double>{0, 20, 40, 60, 80}));
  EXPECT_EQ(nice_ticks(5, 5), std::vector<double>{5});
  for (const double scale : {1e-9, 3e-3, 7.7, 4e8}) {
    const auto ticks = nice_ticks(-scale, 2 * scale);
    EXPECT_GE(ticks.size(), 3u);
    EXPECT_LE(ticks.size(), 6u);
    EXPECT_GE(ticks.front(), -scale * 1.0001);
    EXPECT_LE(ticks.back(), 2 * scale * 1.0001);
  }
}

TEST(Smoothed, FollowsAStraightLineExactly) {
  const Series s = smoothed(line(100), 0.2);
  for (size_t i = 0; i < s.x.size(); ++i)
    EXPECT_NEAR(s.y[i], 2 * s.x[i] + 1, 1e-9) << "at " << s.x[i];
}

TEST(Smoothed, TakesNoiseAwayAndPassesOverGaps) {
  const Random random(1, Purpose::data);
  Series s{"s", {}, {}};
  for (uint64_t i = 0; i < 300; ++i) {
    s.x.push_back(static_cast<double>(i));
    s.y.push_back(i % 50 == 7 ? kNaN : random.normal(i));
  }
  double worst = 0;
  for (const double y : smoothed(s, 0.3).y) worst = std::max(worst, std::abs(y));
  EXPECT_LT(worst, 0.6);
  EXPECT_TRUE(smoothed({"none", {1, 2}, {kNaN, kNaN}}, 0.5).y.empty());
}

TEST(LinePlot, IsWellFormedWhateverComes) {
  const Series inf{"<&\"'>", {1, 2, 3, 4}, {1, kNaN, INFINITY, -INFINITY}};
  const Series empty{"empty", {}, {}}, one{"one", {5}, {3}}, same{"same", {2, 2, 2}, {1, 1, 1}};
  for (const std::vector<Series>& series :
       std::vector<std::vector<Series>>{{}, {empty}, {one}, {same}, {inf}, {inf, empty, one}}) {
    const std::string svg = line_plot({.series = series});
    EXPECT_TRUE(well_formed(svg)) << svg;
    EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
    EXPECT_EQ(svg.find("inf"), std::string::npos) << svg;
  }
}

TEST(LinePlot, MarksGapsAndWhatLeavesTheFrame) {
  Series s = line(100);
  for (double& y : s.y) y = 1;
  for (size_t i = 0; i < s.y.size(); ++i) s.y[i] += 0.01 * static_cast<double>(i % 7);
  EXPECT_EQ(count(line_plot({.series = {s}}), "class=\"lost\""), 0u);
  s.y[10] = kNaN;
  s.y[20] = 1e9;
  const std::string svg = line_plot({.series = {s}});
  EXPECT_EQ(count(svg, "class=\"lost\""), 2u);
  EXPECT_EQ(svg.find(">1G<"), std::string::npos) << "the axis must not reach to the outlier";
}

TEST(LinePlot, ThinsLongSeriesAndKeepsTheirExtremes) {
  Series s = line(100'000);
  for (size_t i = 0; i < s.y.size(); ++i) s.y[i] = std::sin(static_cast<double>(i) / 1000);
  EXPECT_LT(line_plot({.series = {s}}).size(), 40'000u);
}

TEST(LinePlot, ShowsLevelsEvenOutsideTheData) {
  const std::string svg = line_plot({.series = {line(3)}, .levels = {{"target", 50}}});
  EXPECT_NE(svg.find("target 50"), std::string::npos);
}

TEST(LinePlot, RefusesSeriesOfUnequalLengths) {
  EXPECT_NE(test::refusal(Kind::bug,
                          [] {
                            line_plot({.series = {{"a", {1, 2}, {1}}}});
                          })
                .find("series a has 2 x, 1 y"),
            std::string::npos);
}

TEST(OtherPlots, AreWellFormed) {
  const math::Histogram bins{-1, 0.5, {1, 0, 4, 2}};
  const std::string histogram = histogram_plot(bins, "margin <", 0.0);
  EXPECT_TRUE(well_formed(histogram)) << histogram;
  EXPECT_NE(histogram.find("-1 to -0.5"), std::string::npos);
  EXPECT_TRUE(well_formed(histogram_plot({0, 1, {0, 0}}, "nothing")));
  EXPECT_TRUE(well_formed(bar_plot(
      {.rows = {{"a & b", 0.4, 0.3, 0.5, "n=3"}, {"none", kNaN}}, .levels = {{"chance", 0.5}}})));
  EXPECT_TRUE(well_formed(bar_plot({})));
  std::vector<math::ReliabilityBin> reliability{{0.5, 0.75, 10, 0.6, 0.1},
                                                {0.75, 1, 0, kNaN, kNaN}};
  const std::string plot = reliability_plot(reliability);
  EXPECT_TRUE(well_formed(plot)) << plot;
  EXPECT_EQ(plot.find("nan"), std::string::npos);
  EXPECT_TRUE(well_formed(reliability_plot({})));
  EXPECT_TRUE(well_formed(path_plot({"kl", "gain", {{"a", {0, 1}, {0, 2}}, {"b", {}, {}}}})));
}

TEST(Standalone, IsAnSvgFile) {
  const std::string file = standalone(line_plot({.series = {line(5)}}), "A <plot>");
  EXPECT_TRUE(file.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\""));
  EXPECT_NE(file.find("<title>A &lt;plot&gt;</title>"), std::string::npos);
}

}  // namespace
}  // namespace guerdon::report
