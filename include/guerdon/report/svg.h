/// Plots as SVG text: no library, no script, no font file. Colours are CSS variables with light and
/// dark values, so that a page follows its reader's setting; `standalone` makes a file of a plot. A
/// pointer over a plot shows the values under it.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "guerdon/math/calibration.h"
#include "guerdon/math/statistics.h"

namespace guerdon::report {

/// A round number of `value` for people: "1.2k", "0.034", "3.5e-06"; "-" when not finite.
std::string short_number(double value);

/// At most `count` + 1 ticks at 1, 2, 2.5 or 5 times a power of ten inside [low, high]; one when
/// low = high.
std::vector<double> nice_ticks(double low, double high, int64_t count = 5);

/// y over x; values that are not finite are gaps, marked at the bottom. `lower`, `upper`: optional
/// band, as long as y.
struct Series {
  std::string name;
  std::vector<double> x, y;
  std::vector<double> lower = {}, upper = {};
};

/// A horizontal line with a label: chance, a target.
struct Level {
  std::string name;
  double value;
};

struct LinePlot {
  std::string x_label = "step";
  std::vector<Series> series;
  std::vector<Level> levels = {};
  /// Series of 40 points and more get a strong line through their noise, and are themselves drawn
  /// faintly.
  bool smooth = true;
  std::optional<double> low = {},
                        high = {};  ///< ends of the y axis; chosen from the data when absent
};

/// Several lines in one frame with a legend. A few values far outside the others leave the frame
/// (and are marked at its edge) rather than flatten the rest. Long series are thinned to about 400
/// points that keep the extremes.
std::string line_plot(const LinePlot& plot);

/// Bars of a histogram; those below `divide` in another colour (margins: 0).
std::string histogram_plot(const math::Histogram& bins, const std::string& x_label,
                           std::optional<double> divide = {});

/// Horizontal bars with optional intervals, one row each.
struct BarRow {
  std::string name;
  double value;
  std::optional<double> lower = {}, upper = {};
  std::string note = {};  ///< right of the bar, "n = 120"
};
struct BarPlot {
  std::vector<BarRow> rows;
  double low = 0.0, high = 1.0;
  std::vector<Level> levels = {};
};
std::string bar_plot(const BarPlot& plot);

/// What the model claims against what happened, with the diagonal; the size of a dot tells its
/// count, its whisker the 95 % interval. `low` is the lower end of both axes (1/2 for pairs).
std::string reliability_plot(std::span<const math::ReliabilityBin> bins, double low = 0.5);

/// Points (x, y) joined in order, the first and last marked: for instance KL against reward over a
/// run.
struct PathPlot {
  std::string x_label, y_label;
  std::vector<Series> series;
};
std::string path_plot(const PathPlot& plot);

/// The style sheet that plots need, once a page.
const std::string& plot_style();

/// A plot as a file of its own.
std::string standalone(const std::string& svg, const std::string& title);

/// A line through noise: local linear regression with tricube weights (Cleveland 1979) over the
/// nearest `share` of the points, at about 200 places. It neither lags behind a trend nor bends at
/// the ends. x must not fall; values that are not finite are left out.
Series smoothed(const Series& series, double share);

}  // namespace guerdon::report
