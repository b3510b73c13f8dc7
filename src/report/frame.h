/// The frame that all plots share: axes, grid, ticks, legend. Private to the room.
#pragma once

#include <string>
#include <vector>

#include "guerdon/report/svg.h"

namespace guerdon::report {

/// A coordinate with one decimal, as SVG wants it.
std::string place(double value);
/// The width of a text of plain letters in the plots' 11 px font, by estimate.
double text_width(const std::string& text);
/// "var(--c3)": the colour of the i-th series; they come round after eight.
std::string color(size_t index);

struct Range {
  double low = 0, high = 1;
  double width() const { return high - low; }
};

/// A range widened so that a line does not lie on its edge; one value alone gets room on both
/// sides.
Range padded(Range range);

/// An axis-parallel window from numbers to the picture.
class Frame {
 public:
  struct Margins {
    double left = 50, right = 14, top = 12, bottom = 36;
  };
  Frame(Range x, Range y, double width, double height, const Margins& margins)
      : x_(x), y_(y), width_(width), height_(height), margins_(margins) {}

  double x(double value) const {
    return left() + (value - x_.low) / x_.width() * (right() - left());
  }
  double y(double value) const {
    return bottom() - (value - y_.low) / y_.width() * (bottom() - top());
  }
  double left() const { return margins_.left; }
  double right() const { return width_ - margins_.right; }
  double top() const { return margins_.top; }
  double bottom() const { return height_ - margins_.bottom; }
  Range x_range() const { return x_; }
  Range y_range() const { return y_; }

  /// Horizontal grid lines with labels on the left, ticks with labels below, names of the axes.
  std::string axes(const std::string& x_label, const std::string& y_label = {}) const;
  /// Everything between <svg> and </svg>, with a text for those who cannot see it.
  std::string svg(const std::string& content, const std::string& description) const;

 private:
  Range x_, y_;
  double width_, height_;
  Margins margins_;
};

struct LegendEntry {
  std::string name, value;
  size_t color = 0;
};
/// Entries from left to right, in as many rows as needed. `height` is what to add to the top
/// margin.
struct Legend {
  std::string svg;
  double height = 0;
};
Legend legend(const std::vector<LegendEntry>& entries, double left, double right);

/// A text that appears, with a line, while the pointer is over the area [x0, x1] of the frame.
struct Hover {
  double x0, x1, at;                                 ///< picture coordinates
  std::vector<std::string> lines;                    ///< the first one is the heading
  std::vector<std::pair<double, size_t>> dots = {};  ///< y in the picture, colour
};
std::string hovers(const std::vector<Hover>& areas, const Frame& frame);

/// A dashed line across the frame with its name.
std::string level_line(const Level& level, const Frame& frame);

}  // namespace guerdon::report
