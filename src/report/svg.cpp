#include "guerdon/report/svg.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "guerdon/base/error.h"
#include "guerdon/report/html.h"
#include "report/frame.h"

namespace guerdon::report {
namespace {

constexpr const char* kStyle = R"(
:root{--ink:#1b2430;--soft:#5d6b7c;--faint:#8a96a5;--line:#e3e7ec;--card:#fff;
--c0:#2f6bdc;--c1:#e0762b;--c2:#17956f;--c3:#a445c9;--c4:#d33f5c;--c5:#8d7a12;--c6:#148fb0;--c7:#66758a}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9f0;--soft:#a1aebd;--faint:#74818f;--line:#2b3643;--card:#19212b;
--c0:#6fa1ff;--c1:#f59a55;--c2:#3fc79b;--c3:#cf85ec;--c4:#f2798f;--c5:#cfb93c;--c6:#4cc3e3;--c7:#9aa9bd}}
.plot text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif;fill:var(--soft)}
.plot .grid-line{stroke:var(--line);stroke-width:1}.plot .axis{stroke:var(--faint);stroke-width:1}
.plot .raw{fill:none;stroke-width:1;opacity:.3}.plot .main{fill:none;stroke-width:1.9;stroke-linejoin:round;stroke-linecap:round}
.plot .band{opacity:.13;stroke:none}.plot .level{stroke:var(--soft);stroke-width:1;stroke-dasharray:4 3}
.plot .strong{fill:var(--ink);font-weight:600}.plot .end{text-anchor:end}.plot .mid{text-anchor:middle}
.plot .lost{stroke:var(--c4);stroke-width:1.4;fill:none}
.plot .hover .tip{opacity:0;pointer-events:none}.plot .hover:hover .tip{opacity:1}
.plot .hover rect.area{fill:transparent}.plot .tip rect{fill:var(--card);stroke:var(--line)}
)";

}  // namespace

const std::string& plot_style() {
  static const std::string style = kStyle;
  return style;
}

std::string standalone(const std::string& svg, const std::string& title) {
  const std::string opening = "<svg ";
  GUERDON_CHECK(svg.starts_with(opening), "standalone: not a plot");
  const size_t end = svg.find('>') + 1;
  return opening + "xmlns=\"http://www.w3.org/2000/svg\" " +
         svg.substr(opening.size(), end - opening.size()) + "<title>" + escaped(title) +
         "</title><style>" + plot_style() + "</style>" + svg.substr(end) + "\n";
}

std::string short_number(double value) {
  if (!std::isfinite(value)) return "-";
  if (value == 0) return "0";
  const double size = std::abs(value);
  constexpr std::array<std::pair<double, const char*>, 4> kUnits{
      {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}}};
  char buffer[32];
  if (size >= 1e15 || size < 1e-4) {
    std::snprintf(buffer, sizeof buffer, "%.2g", value);
    return buffer;
  }
  for (const auto& [unit, letter] : kUnits) {
    // From 9,999.5 on: "10k"; below it four digits are shorter than a letter is clear.
    if (size < (unit == 1e3 ? 9999.5 : unit * 0.9995)) continue;
    std::snprintf(buffer, sizeof buffer, "%.3g%s", value / unit, letter);
    return buffer;
  }
  std::snprintf(buffer, sizeof buffer, size >= 999.5 ? "%.0f" : "%.3g", value);
  return buffer;
}

std::vector<double> nice_ticks(double low, double high, int64_t count) {
  GUERDON_CHECK(std::isfinite(low) && std::isfinite(high) && low <= high && count >= 1,
                "nice_ticks: ", count, " in [", low, ", ", high, "]");
  if (high - low <= std::abs(high) * 1e-12) return {low};
  const double rough = (high - low) / static_cast<double>(count);
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (rough <= factor * power * (1 + 1e-9)) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + step * 1e-9; ++k)
    ticks.push_back(k == 0 ? 0.0 : k * step);
  return ticks;
}

Series smoothed(const Series& series, double share) {
  GUERDON_CHECK(share >= 0 && share <= 1 && series.x.size() == series.y.size(), "smoothed: share ",
                share, " of ", series.x.size(), " x and ", series.y.size(), " y");
  constexpr size_t kPlaces = 200;
  std::vector<double> x, y;
  for (size_t i = 0; i < series.y.size(); ++i) {
    if (!std::isfinite(series.y[i])) continue;
    x.push_back(series.x[i]);
    y.push_back(series.y[i]);
  }
  Series out{series.name, {}, {}};
  const size_t n = x.size();
  if (n == 0) return out;
  const size_t window = std::clamp<size_t>(static_cast<size_t>(share * static_cast<double>(n)),
                                           std::min<size_t>(3, n), n);
  const size_t places = std::min(n, kPlaces);
  for (size_t place = 0; place < places; ++place) {
    const size_t i = places == 1 ? 0 : place * (n - 1) / (places - 1);
    // The window around i, pushed inwards at the ends.
    const size_t begin = std::min(i - std::min(i, window / 2), n - window), end = begin + window;
    const double reach = 1.0001 * std::max(x[i] - x[begin], x[end - 1] - x[i]);
    double w_sum = 0, wd = 0, wy = 0, wdd = 0, wdy = 0;  // d: distance from x[i]
    for (size_t j = begin; j < end; ++j) {
      const double d = x[j] - x[i];
      const double near = reach > 0 ? 1 - std::pow(std::abs(d) / reach, 3) : 1.0;
      const double w = near * near * near;
      w_sum += w, wd += w * d, wy += w * y[j], wdd += w * d * d, wdy += w * d * y[j];
    }
    const double determinant = w_sum * wdd - wd * wd;
    const bool sloped = determinant > 1e-9 * w_sum * wdd;
    out.x.push_back(x[i]);
    out.y.push_back(sloped ? (wdd * wy - wd * wdy) / determinant : wy / w_sum);
  }
  return out;
}

std::string place(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.1f", value);
  return buffer;
}

double text_width(const std::string& text) { return 6.1 * static_cast<double>(text.size()); }

std::string color(size_t index) { return str("var(--c", index % 8, ")"); }

Range padded(Range range) {
  const double space =
      range.width() > 0 ? 0.06 * range.width() : std::max(0.1 * std::abs(range.high), 1e-3);
  return {range.low - space, range.high + space};
}

std::string Frame::axes(const std::string& x_label, const std::string& y_label) const {
  std::string out;
  for (const double tick : nice_ticks(y_.low, y_.high, 5)) {
    out += str("<line class=\"grid-line\" x1=\"", place(left()), "\" x2=\"", place(right()),
               "\" y1=\"", place(y(tick)), "\" y2=\"", place(y(tick)),
               "\"/><text class=\"end\" x=\"", place(left() - 7), "\" y=\"", place(y(tick) + 3.7),
               "\">", short_number(tick), "</text>");
  }
  for (const double tick : nice_ticks(x_.low, x_.high, 6)) {
    out +=
        str("<line class=\"axis\" x1=\"", place(x(tick)), "\" x2=\"", place(x(tick)), "\" y1=\"",
            place(bottom()), "\" y2=\"", place(bottom() + 4), "\"/><text class=\"mid\" x=\"",
            place(x(tick)), "\" y=\"", place(bottom() + 16), "\">", short_number(tick), "</text>");
  }
  out += str("<line class=\"axis\" x1=\"", place(left()), "\" x2=\"", place(right()), "\" y1=\"",
             place(bottom()), "\" y2=\"", place(bottom()), "\"/><text class=\"mid\" x=\"",
             place((left() + right()) / 2), "\" y=\"", place(height_ - 5), "\">", escaped(x_label),
             "</text>");
  if (!y_label.empty()) {
    out += str("<text class=\"mid\" transform=\"translate(12 ", place((top() + bottom()) / 2),
               ") rotate(-90)\">", escaped(y_label), "</text>");
  }
  return out;
}

std::string Frame::svg(const std::string& content, const std::string& description) const {
  return str("<svg class=\"plot\" viewBox=\"0 0 ", place(width_), " ", place(height_),
             "\" role=\"img\" aria-label=\"", escaped(description), "\">", content, "</svg>");
}

Legend legend(const std::vector<LegendEntry>& entries, double left, double right) {
  constexpr double kRow = 16;
  Legend out;
  double x = left, row = 0;
  for (const LegendEntry& entry : entries) {
    const double width = 16 + text_width(entry.name) +
                         (entry.value.empty() ? 0 : 5 + text_width(entry.value) * 1.08) + 14;
    if (x > left && x + width > right) {
      x = left;
      ++row;
    }
    const double y = 12 + kRow * row;
    out.svg += str(
        "<rect x=\"", place(x), "\" y=\"", place(y - 7.5),
        "\" width=\"10\" height=\"4\" rx=\"2\" fill=\"", color(entry.color), "\"/><text x=\"",
        place(x + 15), "\" y=\"", place(y), "\">", escaped(entry.name),
        entry.value.empty() ? "" : " <tspan class=\"strong\">" + escaped(entry.value) + "</tspan>",
        "</text>");
    x += width;
  }
  out.height = entries.empty() ? 0 : kRow * (row + 1) + 2;
  return out;
}

std::string hovers(const std::vector<Hover>& areas, const Frame& frame) {
  std::string out;
  for (const Hover& area : areas) {
    double width = 0;
    for (const std::string& line : area.lines) width = std::max(width, text_width(line));
    width += 14;
    const double height = 15 * static_cast<double>(area.lines.size()) + 7;
    // On the side of the line where there is room.
    const double box =
        area.at + 8 + width <= frame.right() ? area.at + 8 : std::max(area.at - 8 - width, 0.0);
    out +=
        str("<g class=\"hover\"><rect class=\"area\" x=\"", place(area.x0), "\" y=\"",
            place(frame.top()), "\" width=\"", place(area.x1 - area.x0), "\" height=\"",
            place(frame.bottom() - frame.top()), "\"/><g class=\"tip\"><line class=\"axis\" x1=\"",
            place(area.at), "\" x2=\"", place(area.at), "\" y1=\"", place(frame.top()), "\" y2=\"",
            place(frame.bottom()), "\"/>");
    for (const auto& [y, index] : area.dots) {
      out += str("<circle cx=\"", place(area.at), "\" cy=\"", place(y), "\" r=\"3\" fill=\"",
                 color(index), "\"/>");
    }
    out += str("<rect x=\"", place(box), "\" y=\"", place(frame.top() + 2), "\" width=\"",
               place(width), "\" height=\"", place(height), "\" rx=\"4\"/><text>");
    for (size_t i = 0; i < area.lines.size(); ++i) {
      out += str("<tspan", i == 0 ? " class=\"strong\"" : "", " x=\"", place(box + 7), "\" y=\"",
                 place(frame.top() + 15 + 15 * static_cast<double>(i)), "\">",
                 escaped(area.lines[i]), "</tspan>");
    }
    out += "</text></g></g>";
  }
  return out;
}

std::string level_line(const Level& level, const Frame& frame) {
  const double y = frame.y(level.value);
  // Above its line, unless that would leave the frame.
  const double text_y = y - 4 < frame.top() + 9 ? y + 12 : y - 4;
  return str("<line class=\"level\" x1=\"", place(frame.left()), "\" x2=\"", place(frame.right()),
             "\" y1=\"", place(y), "\" y2=\"", place(y), "\"/><text class=\"end\" x=\"",
             place(frame.right()), "\" y=\"", place(text_y), "\">", escaped(level.name), " ",
             short_number(level.value), "</text>");
}

}  // namespace guerdon::report
