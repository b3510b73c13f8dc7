#include "guerdon/eval/credit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "guerdon/base/error.h"

namespace guerdon::eval {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::span<const double> right_of(const Scored& item) { return item.scores.first(item.right); }
std::span<const double> wrong_of(const Scored& item) { return item.scores.subspan(item.right); }
double lowest(std::span<const double> values) {
  return *std::min_element(values.begin(), values.end());
}
double highest(std::span<const double> values) {
  return *std::max_element(values.begin(), values.end());
}

/// Throws unless there are right and wrong candidates.
void check_both(const Scored& item, const char* name) {
  GUERDON_CHECK(item.right >= 1 && item.right < item.scores.size(), name, ": ", item.right,
                " right ones of ", item.scores.size());
}

}  // namespace

PairCredit pair_credit(const Scored& item) {
  check_both(item, "pair_credit");
  const double margin = lowest(right_of(item)) - highest(wrong_of(item));
  return {.strict = margin > 0 ? 1.0 : 0.0, .half = margin > 0 ? 1.0 : margin == 0 ? 0.5 : 0.0};
}

double best_share(const Scored& item) {
  check_both(item, "best_share");
  const double best = highest(item.scores);
  if (highest(right_of(item)) < best) return 0;
  return 1 / static_cast<double>(std::count(item.scores.begin(), item.scores.end(), best));
}

OneToMany one_to_many(const Scored& item) {
  check_both(item, "one_to_many");
  GUERDON_CHECK(item.right == 1, "one_to_many: ", item.right, " candidates are right");
  const double right = item.scores[0];
  double above_or_equal = 0, below = 0;
  for (const double wrong : wrong_of(item)) {
    above_or_equal += wrong >= right;
    below += wrong < right;
  }
  return {.accuracy = above_or_equal == 0 ? 1.0 : 0.0,
          .accuracy_ties = right >= highest(wrong_of(item)) ? 1.0 : 0.0,
          .reciprocal_rank = 1 / (1 + above_or_equal),
          .pairwise = below / static_cast<double>(item.scores.size() - 1)};
}

StyleCredit style_credit(const Scored& item) {
  const size_t styles = item.right;
  GUERDON_CHECK(styles >= 2 && item.scores.size() == 2 * styles, "style_credit: ", styles,
                " right ones of ", item.scores.size());
  const std::span<const double> right = right_of(item), wrong = wrong_of(item);
  StyleCredit wins{0, 0, 0};
  for (size_t i = 0; i < styles; ++i) {
    for (size_t j = 0; j < styles; ++j) {
      double& place = i < j ? wins.hard : i > j ? wins.easy : wins.normal;
      place += right[i] > wrong[j];
    }
  }
  const auto k = static_cast<double>(styles);
  const double triangle = k * (k - 1) / 2;
  return {wins.easy / triangle, wins.normal / k, wins.hard / triangle};
}

TiesCredit ties_credit(std::span<const Scored> group) {
  TiesCredit out{kNaN, kNaN, kNaN, kNaN, kNaN};
  std::optional<double> ref_margin, tied_margin;
  double spread = 0;
  for (const Scored& item : group) {
    check_both(item, "ties_credit");
    const double margin = lowest(right_of(item)) - highest(wrong_of(item));
    if (item.id.starts_with("ref:")) {
      ref_margin = margin;
      out.ref_accuracy = margin > 0;
    } else {
      GUERDON_CHECK(item.id.starts_with("tied:"), "ties_credit: id ", item.id);
      tied_margin = margin;
      out.tied_accuracy = margin > 0;
      spread = highest(right_of(item)) - lowest(right_of(item));
    }
  }
  if (!ref_margin || !tied_margin) return out;
  const double hard = std::min(*ref_margin, *tied_margin);
  out.preferred = *tied_margin > spread;
  out.preferred_hard = hard > spread;
  out.margin = hard == 0 && spread == 0 ? 0.0 : std::tanh(hard / spread - 1);
  return out;
}

VerdictCredit verdict_credit(const Scored& pair, double margin) {
  GUERDON_CHECK(pair.scores.size() == 2, "verdict_credit: ", pair.scores.size(), " scores");
  const double difference = pair.scores[0] - pair.scores[1];
  const bool tie = std::abs(difference) <= margin;
  if (pair.right == 2) return {.agrees = tie ? 1.0 : 0.0, .preferred = kNaN};
  return {.agrees = !tie && difference > 0 ? 1.0 : 0.0, .preferred = difference > 0 ? 1.0 : 0.0};
}

double best_tie_margin(std::span<const Scored> pairs) {
  // From the largest difference down, each pair changes its verdict once: from tie to no tie.
  struct Change {
    double difference, gain;  // of agreements, when the margin grows to this difference
  };
  std::vector<Change> changes;
  for (const Scored& pair : pairs) {
    const double difference = pair.scores[0] - pair.scores[1];
    const double as_tie = pair.right == 2, as_pair = pair.right == 1 && difference > 0;
    changes.push_back({std::abs(difference), as_tie - as_pair});
  }
  std::sort(changes.begin(), changes.end(),
            [](const Change& a, const Change& b) { return a.difference < b.difference; });
  // At margin 0 equal scores are ties already.
  double gain = 0, best_gain = 0, best = 0;
  for (size_t begin = 0, end = 0; begin < changes.size(); begin = end) {
    for (end = begin; end < changes.size() && changes[end].difference == changes[begin].difference;
         ++end)
      gain += changes[end].gain;
    if (changes[begin].difference == 0) {
      best_gain = gain;
    } else if (gain > best_gain) {
      best_gain = gain;
      best = changes[begin].difference;
    }
  }
  return best;
}

ContrastCredit contrast_credit(const Scored& item) {
  GUERDON_CHECK(item.scores.size() == 4, "contrast_credit: ", item.scores.size(), " scores");
  const double own1 = item.scores[0], x1_y2 = item.scores[1], own2 = item.scores[2],
               x2_y1 = item.scores[3];
  const auto mean = [](bool a, bool b) { return (a ? 0.5 : 0.0) + (b ? 0.5 : 0.0); };
  return {.response = mean(own1 > x1_y2, own2 > x2_y1),
          .response_ties = mean(own1 >= x1_y2, own2 >= x2_y1),
          .instruction = mean(own1 > x2_y1, own2 > x1_y2),
          .instruction_ties = mean(own1 >= x2_y1, own2 >= x1_y2)};
}

}  // namespace guerdon::eval
