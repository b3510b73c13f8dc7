#include <algorithm>
#include <cmath>

#include "guerdon/base/error.h"
#include "guerdon/math/intervals.h"
#include "guerdon/math/statistics.h"
#include "guerdon/report/html.h"
#include "guerdon/report/svg.h"
#include "report/frame.h"

namespace guerdon::report {
namespace {

constexpr double kWidth = 500, kHeight = 226;

}  // namespace

std::string histogram_plot(const math::Histogram& bins, const std::string& x_label,
                           std::optional<double> divide) {
  GUERDON_CHECK(!bins.counts.empty() && bins.width > 0, "histogram_plot: ", bins.counts.size(),
                " bins of width ", bins.width);
  const std::vector<int64_t>& counts = bins.counts;
  const auto shown = static_cast<int64_t>(counts.size());
  const double start = bins.start, width = bins.width;
  const auto highest =
      static_cast<double>(std::max<int64_t>(*std::max_element(counts.begin(), counts.end()), 1));
  const Frame frame({start, start + width * static_cast<double>(shown)}, {0, highest * 1.06},
                    kWidth, kHeight, {});
  std::string out = frame.axes(x_label);
  std::vector<Hover> areas;
  int64_t total = 0;
  for (int64_t i = 0; i < shown; ++i) {
    const double low = start + width * static_cast<double>(i), high = low + width;
    const auto count = static_cast<double>(counts[static_cast<size_t>(i)]);
    const bool below = divide && (low + high) / 2 < *divide;
    total += counts[static_cast<size_t>(i)];
    const double x = frame.x(low) + 0.7, y = frame.y(count);
    if (count > 0) {
      out += str("<rect x=\"", place(x), "\" y=\"", place(y), "\" width=\"",
                 place(std::max(frame.x(high) - x - 0.7, 0.5)), "\" height=\"",
                 place(frame.bottom() - y), "\" rx=\"1.5\" fill=\"", color(below ? 1 : 0),
                 "\" opacity=\".85\"/>");
    }
    areas.push_back({.x0 = frame.x(low),
                     .x1 = frame.x(high),
                     .at = frame.x((low + high) / 2),
                     .lines = {short_number(low) + " to " + short_number(high),
                               "count " + short_number(count)}});
  }
  if (divide && *divide >= start && *divide <= start + width * static_cast<double>(shown)) {
    const std::string x = place(frame.x(*divide));
    out += str("<line class=\"level\" x1=\"", x, "\" x2=\"", x, "\" y1=\"", place(frame.top()),
               "\" y2=\"", place(frame.bottom()), "\"/>");
  }
  return frame.svg(out + hovers(areas, frame),
                   str("Histogram of ", x_label, ", ", total, " values"));
}

std::string bar_plot(const BarPlot& plot) {
  constexpr double kRow = 27;
  double names = 40, notes = 30;
  for (const BarRow& row : plot.rows) {
    names = std::max(names, std::min(text_width(row.name), 160.0) + 14);
    notes = std::max(notes, text_width(row.note) + text_width(short_number(row.value)) + 22);
  }
  const double height = kRow * static_cast<double>(plot.rows.size()) + 40;
  GUERDON_CHECK(plot.low < plot.high, "bar_plot: range [", plot.low, ", ", plot.high, "]");
  const Frame frame({plot.low, plot.high}, {0, 1}, kWidth, height,
                    {.left = names, .right = notes, .top = 6, .bottom = 34});
  std::string out;
  for (const double tick : nice_ticks(plot.low, plot.high, 5)) {
    const std::string x = place(frame.x(tick));
    out += str("<line class=\"grid-line\" x1=\"", x, "\" x2=\"", x, "\" y1=\"", place(frame.top()),
               "\" y2=\"", place(frame.bottom()), "\"/><text class=\"mid\" x=\"", x, "\" y=\"",
               place(frame.bottom() + 15), "\">", short_number(tick), "</text>");
  }
  std::string description;
  for (size_t i = 0; i < plot.rows.size(); ++i) {
    const BarRow& row = plot.rows[i];
    const double y = frame.top() + kRow * static_cast<double>(i) + 5;
    const auto x = [&](double v) { return frame.x(std::clamp(v, plot.low, plot.high)); };
    const size_t letters = 25;
    const std::string name =
        row.name.size() > letters ? row.name.substr(0, letters) + "..." : row.name;
    out += str("<text class=\"end\" x=\"", place(names - 8), "\" y=\"", place(y + 12), "\">",
               escaped(name), "</text>");
    if (std::isfinite(row.value)) {
      const double from = x(std::max(0.0, plot.low)), to = x(row.value);
      out += str("<rect x=\"", place(std::min(from, to)), "\" y=\"", place(y), "\" width=\"",
                 place(std::max(std::abs(to - from), 1.0)), "\" height=\"16\" rx=\"2.5\" fill=\"",
                 color(0), "\" opacity=\".82\"/>");
    }
    if (row.lower && row.upper) {
      out += str("<path stroke=\"var(--ink)\" stroke-width=\"1.2\" fill=\"none\" d=\"M",
                 place(x(*row.lower)), " ", place(y + 8), "H", place(x(*row.upper)), "M",
                 place(x(*row.lower)), " ", place(y + 4), "v8M", place(x(*row.upper)), " ",
                 place(y + 4), "v8\"/>");
    }
    out += str("<text x=\"", place(frame.right() + 8), "\" y=\"", place(y + 12),
               "\"><tspan class=\"strong\">", short_number(row.value), "</tspan> ",
               escaped(row.note), "</text>");
    description += (i == 0 ? "" : ", ") + row.name + " " + short_number(row.value);
  }
  for (const Level& level : plot.levels) {
    const std::string x = place(frame.x(level.value));
    out += str("<line class=\"level\" x1=\"", x, "\" x2=\"", x, "\" y1=\"", place(frame.top()),
               "\" y2=\"", place(frame.bottom()), "\"/><text class=\"mid\" x=\"", x, "\" y=\"",
               place(frame.bottom() + 30), "\">", escaped(level.name), " ",
               short_number(level.value), "</text>");
  }
  return frame.svg(out, description);
}

std::string reliability_plot(std::span<const math::ReliabilityBin> bins, double low) {
  int64_t most = 1, total = 0;
  // Badly calibrated bins may lie below the range: the axis goes down as far as needed.
  double lowest = low;
  for (const math::ReliabilityBin& bin : bins) {
    most = std::max(most, bin.count);
    total += bin.count;
    if (bin.count > 0) lowest = std::min(lowest, std::floor(bin.outcome * 10) / 10);
  }
  const Frame fitted({low, 1}, {lowest, 1.02}, kWidth, 286, {.left = 58});
  std::string out = fitted.axes("predicted probability", "share that came true");
  out += str("<line class=\"level\" x1=\"", place(fitted.x(low)), "\" y1=\"", place(fitted.y(low)),
             "\" x2=\"", place(fitted.x(1)), "\" y2=\"", place(fitted.y(1)), "\"/>");
  std::vector<Hover> areas;
  std::string line;
  for (const math::ReliabilityBin& bin : bins) {
    if (bin.count == 0) continue;
    const double x = fitted.x(std::max(bin.probability, low)), y = fitted.y(bin.outcome);
    const double sum = std::clamp(bin.outcome * static_cast<double>(bin.count), 0.0,
                                  static_cast<double>(bin.count));
    const math::Interval interval = math::wilson(sum, bin.count);
    const double radius =
        3 + 6 * std::sqrt(static_cast<double>(bin.count) / static_cast<double>(most));
    out += str("<line x1=\"", place(x), "\" x2=\"", place(x), "\" y1=\"",
               place(fitted.y(std::max(interval.lower, lowest))), "\" y2=\"",
               place(fitted.y(interval.upper)), "\" stroke=\"", color(0),
               "\" stroke-width=\"1.4\" opacity=\".55\"/><circle cx=\"", place(x), "\" cy=\"",
               place(y), "\" r=\"", place(radius), "\" fill=\"", color(0), "\" opacity=\".85\"/>");
    line += str(line.empty() ? "M" : "L", place(x), " ", place(y));
    areas.push_back({.x0 = fitted.x(std::max(bin.lower, low)),
                     .x1 = fitted.x(std::max(bin.upper, low)),
                     .at = x,
                     .lines = {"says " + short_number(bin.probability),
                               "came true " + short_number(bin.outcome),
                               "rows " + short_number(static_cast<double>(bin.count))}});
  }
  if (!line.empty()) out += "<path class=\"raw\" stroke=\"" + color(0) + "\" d=\"" + line + "\"/>";
  return fitted.svg(out + hovers(areas, fitted), str("Reliability of ", total, " predictions"));
}

std::string path_plot(const PathPlot& plot) {
  bool any = false;
  Range x, y;
  const auto visit = [&](const auto& use) {
    for (size_t k = 0; k < plot.series.size(); ++k) {
      const Series& s = plot.series[k];
      GUERDON_CHECK(s.x.size() == s.y.size(), "path_plot: series ", s.name, " has ", s.x.size(),
                    " x and ", s.y.size(), " y");
      for (size_t i = 0; i < s.x.size(); ++i) {
        if (std::isfinite(s.x[i]) && std::isfinite(s.y[i])) use(k, s.x[i], s.y[i]);
      }
    }
  };
  visit([&](size_t, double a, double b) {
    x = any ? Range{std::min(x.low, a), std::max(x.high, a)} : Range{a, a};
    y = any ? Range{std::min(y.low, b), std::max(y.high, b)} : Range{b, b};
    any = true;
  });
  std::vector<LegendEntry> entries;
  for (size_t k = 0; k < plot.series.size(); ++k) entries.push_back({plot.series[k].name, "", k});
  const Legend names = legend(entries, 8, kWidth - 8);
  const Frame frame(padded(x), padded(y), kWidth, kHeight + names.height,
                    {.left = 58, .top = 12 + names.height});
  std::string out = names.svg + frame.axes(plot.x_label, plot.y_label);
  std::vector<std::string> lines(plot.series.size());
  std::vector<std::pair<double, double>> last(plot.series.size());
  visit([&](size_t k, double a, double b) {
    lines[k] += str(lines[k].empty() ? "M" : "L", place(frame.x(a)), " ", place(frame.y(b)));
    if (last[k] == std::pair<double, double>{}) {
      out +=
          str("<circle cx=\"", place(frame.x(a)), "\" cy=\"", place(frame.y(b)),
              "\" r=\"4\" fill=\"var(--card)\" stroke=\"", color(k), "\" stroke-width=\"1.8\"/>");
    }
    last[k] = {frame.x(a), frame.y(b)};
  });
  for (size_t k = 0; k < lines.size(); ++k) {
    if (lines[k].empty()) continue;
    out += str("<path class=\"main\" stroke=\"", color(k), "\" d=\"", lines[k], "\"/><circle cx=\"",
               place(last[k].first), "\" cy=\"", place(last[k].second), "\" r=\"4\" fill=\"",
               color(k), "\"/>");
  }
  return frame.svg(out, plot.y_label + " against " + plot.x_label);
}

}  // namespace guerdon::report
