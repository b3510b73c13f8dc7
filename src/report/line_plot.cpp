#include <algorithm>
#include <cmath>

#include "guerdon/base/error.h"
#include "guerdon/math/statistics.h"
#include "guerdon/report/svg.h"
#include "report/frame.h"

namespace guerdon::report {
namespace {

constexpr double kWidth = 500, kHeight = 226;
constexpr size_t kPoints = 400, kHovers = 36, kDots = 20;

/// A line of points, interrupted where a value is not finite.
std::string path(const std::vector<double>& x, const std::vector<double>& y, const Frame& frame) {
  std::string out;
  bool down = false;
  for (size_t i = 0; i < y.size(); ++i) {
    if (!std::isfinite(y[i])) {
      down = false;
      continue;
    }
    const double shown = std::clamp(y[i], frame.y_range().low, frame.y_range().high);
    out += str(down ? "L" : "M", place(frame.x(x[i])), " ", place(frame.y(shown)));
    down = true;
  }
  return out;
}

/// The indices that stay: of each of `kPoints` / 2 equal stretches, the least and the greatest
/// value, and every gap's beginning.
std::vector<size_t> thinned(const std::vector<double>& y) {
  std::vector<size_t> kept;
  if (y.size() <= kPoints) {
    for (size_t i = 0; i < y.size(); ++i) kept.push_back(i);
    return kept;
  }
  const size_t stretches = kPoints / 2;
  for (size_t s = 0; s < stretches; ++s) {
    const size_t begin = s * y.size() / stretches, end = (s + 1) * y.size() / stretches;
    size_t least = begin, greatest = begin, gap = end;
    for (size_t i = begin; i < end; ++i) {
      if (!std::isfinite(y[i])) {
        gap = std::min(gap, i);
        continue;
      }
      if (!std::isfinite(y[least]) || y[i] < y[least]) least = i;
      if (!std::isfinite(y[greatest]) || y[i] > y[greatest]) greatest = i;
    }
    std::vector<size_t> chosen{least, greatest};
    if (gap < end) chosen.push_back(gap);
    std::sort(chosen.begin(), chosen.end());
    chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
    kept.insert(kept.end(), chosen.begin(), chosen.end());
  }
  return kept;
}

std::vector<double> at(const std::vector<double>& values, const std::vector<size_t>& indices) {
  std::vector<double> out;
  out.reserve(indices.size());
  for (const size_t i : indices) out.push_back(values[i]);
  return out;
}

/// The y range: all values when they lie together; without the far outliers when a few of them
/// would flatten the rest.
Range value_range(const LinePlot& plot) {
  std::vector<double> values;
  for (const Series& s : plot.series) {
    for (const std::vector<double>* column : {&s.y, &s.lower, &s.upper}) {
      for (const double v : *column) {
        if (std::isfinite(v)) values.push_back(v);
      }
    }
  }
  if (values.empty()) return {0, 1};
  Range all{*std::min_element(values.begin(), values.end()),
            *std::max_element(values.begin(), values.end())};
  if (values.size() >= 20) {
    const Range core{math::quantile(values, 0.02), math::quantile(values, 0.98)};
    const double reach = 4 * core.width();
    if (core.width() > 0)
      all = {std::max(all.low, core.low - reach), std::min(all.high, core.high + reach)};
  }
  for (const Level& level : plot.levels)
    all = {std::min(all.low, level.value), std::max(all.high, level.value)};
  return all;
}

Range x_range(const LinePlot& plot) {
  bool any = false;
  Range out;
  for (const Series& s : plot.series) {
    for (const double x : s.x) {
      out = any ? Range{std::min(out.low, x), std::max(out.high, x)} : Range{x, x};
      any = true;
    }
  }
  return out.width() > 0 ? out : padded(out);
}

std::string band(const Series& lower, const Series& upper, const Frame& frame, size_t index) {
  std::string there = path(upper.x, upper.y, frame), back;
  for (size_t i = lower.x.size(); i > 0; --i) {
    if (!std::isfinite(lower.y[i - 1])) continue;
    const double y = std::clamp(lower.y[i - 1], frame.y_range().low, frame.y_range().high);
    back += str("L", place(frame.x(lower.x[i - 1])), " ", place(frame.y(y)));
  }
  if (there.empty() || back.empty()) return {};
  return str("<path class=\"band\" fill=\"", color(index), "\" d=\"", there, back, "Z\"/>");
}

/// Crosses at the bottom for values that are not numbers, chevrons at the edges for those outside
/// the frame.
std::string lost_marks(const Series& s, const Frame& frame) {
  constexpr size_t kMarks = 40;
  std::string out;
  size_t marks = 0;
  for (size_t i = 0; i < s.y.size() && marks < kMarks; ++i) {
    const double x = frame.x(s.x[i]), v = s.y[i];
    const auto mark = [&](const std::string& d) {
      out += "<path class=\"lost\" d=\"" + d + "\"/>";
      ++marks;
    };
    if (std::isnan(v) || std::isinf(v)) {
      mark(str("M", place(x - 3), " ", place(frame.bottom() - 7), "l6 6m0 -6l-6 6"));
    } else if (v > frame.y_range().high) {
      mark(str("M", place(x - 4), " ", place(frame.top() + 5), "l4 -4l4 4"));
    } else if (v < frame.y_range().low) {
      mark(str("M", place(x - 4), " ", place(frame.bottom() - 5), "l4 4l4 -4"));
    }
  }
  return out;
}

/// Share of the points that a strong line averages over.
double share_of(size_t points) { return std::clamp(24 / static_cast<double>(points), 0.12, 0.3); }

/// The index of the x nearest to `at`; x does not fall.
size_t nearest(const std::vector<double>& x, double at) {
  const auto above = std::lower_bound(x.begin(), x.end(), at);
  if (above == x.begin()) return 0;
  const auto i = static_cast<size_t>(above - x.begin());
  return above == x.end() || at - x[i - 1] <= x[i] - at ? i - 1 : i;
}

/// Stretches of the x axis with the values of all series at the point nearest to their middle.
std::vector<Hover> hover_areas(const LinePlot& plot, const std::vector<Series>& main,
                               const Frame& frame) {
  const auto longest =
      std::max_element(plot.series.begin(), plot.series.end(),
                       [](const Series& a, const Series& b) { return a.x.size() < b.x.size(); });
  if (longest == plot.series.end() || longest->x.empty()) return {};
  std::vector<double> stops;
  const size_t count = std::min(kHovers, longest->x.size());
  for (size_t i = 0; i < count; ++i) {
    const double x = longest->x[count == 1 ? 0 : i * (longest->x.size() - 1) / (count - 1)];
    if (stops.empty() || x > stops.back()) stops.push_back(x);
  }
  std::vector<Hover> areas;
  for (size_t i = 0; i < stops.size(); ++i) {
    Hover area{.x0 = i == 0 ? frame.left() : frame.x((stops[i - 1] + stops[i]) / 2),
               .x1 = i + 1 == stops.size() ? frame.right() : frame.x((stops[i] + stops[i + 1]) / 2),
               .at = frame.x(stops[i]),
               .lines = {plot.x_label + " " + short_number(stops[i])}};
    for (size_t k = 0; k < plot.series.size(); ++k) {
      if (plot.series[k].x.empty()) continue;
      area.lines.push_back(plot.series[k].name + " " +
                           short_number(plot.series[k].y[nearest(plot.series[k].x, stops[i])]));
      if (main[k].x.empty()) continue;
      const double value = main[k].y[nearest(main[k].x, stops[i])];
      if (std::isfinite(value) && value >= frame.y_range().low && value <= frame.y_range().high) {
        area.dots.emplace_back(frame.y(value), k);
      }
    }
    areas.push_back(std::move(area));
  }
  return areas;
}

/// Without the values outside the frame: a strong line through them would tell of nothing else.
Series inside(const Series& series, Range range) {
  Series out{series.name, series.x, series.y};
  for (double& v : out.y) {
    if (v < range.low || v > range.high) v = std::numeric_limits<double>::quiet_NaN();
  }
  return out;
}

}  // namespace

std::string line_plot(const LinePlot& plot) {
  for (const Series& s : plot.series) {
    GUERDON_CHECK(s.x.size() == s.y.size() && s.lower.size() == s.upper.size() &&
                      (s.lower.empty() || s.lower.size() == s.y.size()),
                  "line_plot: series ", s.name, " has ", s.x.size(), " x, ", s.y.size(), " y, ",
                  s.lower.size(), " and ", s.upper.size(), " ends of its band");
  }
  const Range values = value_range(plot);
  Range y = padded(values);
  if (values.low >= 0) y.low = std::max(y.low, 0.0);  // counts, shares, norms do not go below 0
  if (plot.low) y.low = *plot.low;
  if (plot.high) y.high = *plot.high;
  if (y.low >= y.high) y = padded({y.low, y.low});

  // The strong lines, and what the legend says of them.
  const auto noisy = [&](const Series& s) { return plot.smooth && s.x.size() >= 40; };
  const auto strong = [&](const Series& s) {
    return noisy(s) ? smoothed(inside(s, y), share_of(s.x.size())) : s;
  };
  std::vector<LegendEntry> entries;
  std::vector<Series> main;
  for (size_t i = 0; i < plot.series.size(); ++i) {
    main.push_back(strong(plot.series[i]));
    entries.push_back(
        {plot.series[i].name, main.back().y.empty() ? "" : short_number(main.back().y.back()), i});
  }
  Frame::Margins margins;
  const Legend names = legend(entries, 8, kWidth - 8);
  margins.top += names.height;
  const Frame frame(x_range(plot), y, kWidth, kHeight + names.height, margins);

  std::string out = names.svg + frame.axes(plot.x_label);
  for (size_t i = 0; i < plot.series.size(); ++i) {
    const Series& s = plot.series[i];
    if (!s.lower.empty())
      out += band(strong({"", s.x, s.lower}), strong({"", s.x, s.upper}), frame, i);
  }
  for (const Level& level : plot.levels) out += level_line(level, frame);
  for (size_t i = 0; i < plot.series.size(); ++i) {
    const Series& s = plot.series[i];
    const auto draw = [&](const char* style, const Series& line) {
      const std::vector<size_t> kept = thinned(line.y);
      out += str("<path class=\"", style, "\" stroke=\"", color(i), "\" d=\"",
                 path(at(line.x, kept), at(line.y, kept), frame), "\"/>");
    };
    if (noisy(s)) draw("raw", s);
    draw("main", main[i]);
    for (size_t j = 0; s.y.size() <= kDots && j < s.y.size(); ++j) {
      if (!std::isfinite(s.y[j]) || s.y[j] < y.low || s.y[j] > y.high) continue;
      out += str("<circle cx=\"", place(frame.x(s.x[j])), "\" cy=\"", place(frame.y(s.y[j])),
                 "\" r=\"2.6\" fill=\"", color(i), "\"/>");
    }
    out += lost_marks(s, frame);
  }
  std::string description;
  for (const LegendEntry& entry : entries)
    description += (description.empty() ? "" : ", ") + entry.name + " ends at " + entry.value;
  return frame.svg(out + hovers(hover_areas(plot, main, frame), frame),
                   description + " over " + plot.x_label);
}

}  // namespace guerdon::report
