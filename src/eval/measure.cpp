#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "guerdon/base/error.h"
#include "guerdon/base/random.h"
#include "guerdon/eval/suite.h"
#include "guerdon/math/statistics.h"

namespace guerdon::eval {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Items that are credited together: one, or those of a group.
struct Unit {
  size_t subset = 0;
  std::vector<size_t> items;
};

/// Where the subsets stand: names in the order of the suite, then those that it does not know.
struct Layout {
  struct Part {
    std::string name;
    double weight = 1;
    std::vector<std::pair<size_t, double>> subsets;  // index, weight
  };
  std::vector<std::string> subsets;
  std::vector<int64_t> rows;               // of each subset
  std::vector<std::vector<size_t>> units;  // of each subset
  std::vector<Part> sections;
  std::vector<std::string> missing;
};

Layout layout_of(const Suite& suite, std::span<const Item> items, std::vector<Unit>& units) {
  Layout out;
  std::map<std::string, size_t> index;
  std::map<std::string, int64_t> counts;
  for (const Item& item : items) ++counts[item.subset];
  const auto add = [&](const std::string& name) {
    if (index.emplace(name, out.subsets.size()).second) {
      out.subsets.push_back(name);
      out.rows.push_back(counts[name]);
    }
    return index[name];
  };
  for (const Section& section : suite.sections) {
    Layout::Part part{section.name, section.weight, {}};
    for (const auto& [subset, weight] : section.subsets) {
      if (counts.contains(subset)) {
        part.subsets.emplace_back(add(subset), weight);
      } else {
        out.missing.push_back(subset);
      }
    }
    if (!part.subsets.empty()) out.sections.push_back(std::move(part));
  }
  if (!suite.sections.empty() && out.sections.empty()) {
    std::string found, expected;
    for (const auto& [name, count] : counts) found += (found.empty() ? "" : ", ") + show(name);
    for (const std::string& name : out.missing) expected += (expected.empty() ? "" : ", ") + name;
    fail_input(items[0].where, "no row belongs to a subset of " + suite.title +
                                   " (found: " + found + "; expected: " + expected + ")");
  }
  for (const auto& [name, count] : counts) {
    if (!suite.sections.empty()) {
      add(name);
    } else {
      const double weight = suite.by_rows ? static_cast<double>(count) : 1.0;
      out.sections.push_back({name, weight, {{add(name), 1.0}}});
    }
  }
  std::map<std::pair<std::string, std::string>, size_t> groups;
  for (size_t i = 0; i < items.size(); ++i) {
    const auto [place, added] =
        items[i].group.empty()
            ? std::pair{groups.end(), true}
            : groups.emplace(std::pair{items[i].subset, items[i].group}, units.size());
    if (added) {
      units.push_back({index.at(items[i].subset), {i}});
    } else {
      units[place->second].items.push_back(i);
    }
  }
  out.units.resize(out.subsets.size());
  for (size_t u = 0; u < units.size(); ++u) out.units[units[u].subset].push_back(u);
  return out;
}

/// Means of columns that only some units have.
struct Means {
  std::vector<double> sums, counts;
  explicit Means(size_t columns) : sums(columns), counts(columns) {}
  void add(const std::vector<double>& values) {
    for (size_t k = 0; k < values.size(); ++k) {
      if (std::isnan(values[k])) continue;
      sums[k] += values[k];
      ++counts[k];
    }
  }
  double mean(size_t k) const { return counts[k] > 0 ? sums[k] / counts[k] : kNaN; }
  /// Sum of weight x mean; a column that no unit has adds nothing.
  double score(const std::vector<Column>& columns) const {
    double out = 0;
    for (size_t k = 0; k < columns.size(); ++k) {
      if (counts[k] > 0) out += columns[k].weight * mean(k);
    }
    return out;
  }
};

/// The numbers that a resample gives again: subsets, sections, the whole.
struct Outcome {
  std::vector<double> subsets, sections;
  double score = 0;
};

double weighted_mean(const std::vector<std::pair<double, double>>& values_and_weights) {
  double sum = 0, weights = 0;
  for (const auto& [value, weight] : values_and_weights) {
    sum += weight * value;
    weights += weight;
  }
  return sum / weights;
}

Outcome outcome_of(const Layout& layout, std::vector<double> subset_scores) {
  Outcome out;
  out.subsets = std::move(subset_scores);
  std::vector<std::pair<double, double>> whole;
  for (const Layout::Part& part : layout.sections) {
    std::vector<std::pair<double, double>> members;
    for (const auto& [subset, weight] : part.subsets)
      members.emplace_back(out.subsets[subset], weight);
    out.sections.push_back(weighted_mean(members));
    whole.emplace_back(out.sections.back(), part.weight);
  }
  out.score = weighted_mean(whole);
  return out;
}

/// A judge's credits: [units][columns].
using Credits = std::vector<std::vector<double>>;

std::vector<double> subset_scores(const Suite& suite, const Layout& layout,
                                  const Credits& credits) {
  std::vector<double> out;
  for (const std::vector<size_t>& units : layout.units) {
    Means means(suite.columns.size());
    for (const size_t unit : units) means.add(credits[unit]);
    out.push_back(means.score(suite.columns));
  }
  return out;
}

/// Outcomes of all judges under one resample of each subset's units.
std::vector<Outcome> resampled(const Suite& suite, const Layout& layout,
                               const std::vector<Credits>& judges, uint64_t seed,
                               int64_t resample) {
  std::vector<std::vector<double>> scores(judges.size());
  for (size_t s = 0; s < layout.units.size(); ++s) {
    const std::vector<size_t>& units = layout.units[s];
    std::vector<Means> means(judges.size(), Means(suite.columns.size()));
    Random random(seed, Purpose::bootstrap, static_cast<uint64_t>(resample), s);
    for (size_t i = 0; i < units.size(); ++i) {
      const size_t unit = units[random.next_below(units.size())];
      for (size_t j = 0; j < judges.size(); ++j) means[j].add(judges[j][unit]);
    }
    for (size_t j = 0; j < judges.size(); ++j) scores[j].push_back(means[j].score(suite.columns));
  }
  std::vector<Outcome> out;
  for (std::vector<double>& values : scores) out.push_back(outcome_of(layout, std::move(values)));
  return out;
}

Figure column_figure(const Column& column, const Means& means, size_t k) {
  const auto rows = static_cast<int64_t>(means.counts[k]);
  Figure out{means.mean(k), {kNaN, kNaN}, rows};
  if (column.share) out.interval = math::wilson(means.sums[k], rows);
  return out;
}

void check_items(const Suite& suite, std::span<const Item> items,
                 std::span<const Judgement> judges) {
  GUERDON_CHECK(!items.empty() && !judges.empty(), "measure: ", items.size(), " items and ",
                judges.size(), " judges");
  for (const Item& item : items) {
    if (const std::string expected = suite.expects(item); !expected.empty()) {
      fail_input(item.where, str("id ", show(item.id), " has ", item.right, " right and ",
                                 item.candidates - item.right, " wrong candidates; ", expected));
    }
  }
  for (const Judgement& judge : judges) {
    GUERDON_CHECK(judge.scores.size() == items.size(), "measure: ", judge.scores.size(),
                  " rows of scores for ", items.size(), " items");
    for (size_t i = 0; i < items.size(); ++i) {
      GUERDON_CHECK(judge.scores[i].size() == items[i].candidates,
                    "measure: ", judge.scores[i].size(), " scores for ", items[i].candidates,
                    " candidates");
    }
  }
}

Scored scored(const Item& item, const std::vector<double>& scores) {
  return {scores, item.right, item.group.empty() ? std::string_view() : std::string_view(item.id)};
}

Credits credits_of(const Suite& suite, std::span<const Item> items, const std::vector<Unit>& units,
                   const Judgement& judge, const CreditOptions& options) {
  Credits out;
  for (const Unit& unit : units) {
    std::vector<Scored> group;
    for (const size_t i : unit.items) group.push_back(scored(items[i], judge.scores[i]));
    out.push_back(suite.credit(group, options));
    GUERDON_CHECK(out.back().size() == suite.columns.size(), "measure: ", suite.name);
  }
  return out;
}

std::vector<Disagreement> worst_of(std::span<const Item> items, const Judgement& judge,
                                   int64_t count) {
  std::vector<Disagreement> out;
  for (size_t i = 0; i < items.size(); ++i) {
    const std::span<const double> scores = judge.scores[i];
    if (items[i].right == scores.size()) continue;
    const auto right = static_cast<std::ptrdiff_t>(items[i].right);
    const auto wrong = std::max_element(scores.begin() + right, scores.end());
    const double margin = *std::min_element(scores.begin(), scores.begin() + right) - *wrong;
    if (margin < 0) out.push_back({i, margin, static_cast<size_t>(wrong - scores.begin())});
  }
  std::stable_sort(out.begin(), out.end(), [](const Disagreement& a, const Disagreement& b) {
    return a.margin < b.margin;
  });
  if (out.size() > static_cast<size_t>(count)) out.resize(static_cast<size_t>(count));
  return out;
}

SuiteResult result_of(const Suite& suite, std::span<const Item> items, const Layout& layout,
                      const Judgement& judge, const Credits& credits,
                      const std::vector<Outcome>& resamples, const MeasureOptions& options) {
  SuiteResult out{.judge = judge.judge};
  const auto bootstrap = [&](auto&& value_of) {
    std::vector<double> values;
    for (const Outcome& outcome : resamples) values.push_back(value_of(outcome));
    const double tail = (1 - options.bootstrap.confidence) / 2;
    return math::Interval{math::quantile(values, tail), math::quantile(values, 1 - tail)};
  };
  const Outcome found = outcome_of(layout, subset_scores(suite, layout, credits));
  Means all(suite.columns.size());
  for (size_t s = 0; s < layout.subsets.size(); ++s) {
    Means means(suite.columns.size());
    for (const size_t unit : layout.units[s]) {
      means.add(credits[unit]);
      all.add(credits[unit]);
    }
    SubsetFigures figures{.name = layout.subsets[s], .section = "", .rows = layout.rows[s]};
    size_t counting = 0, only = 0;
    for (size_t k = 0; k < suite.columns.size(); ++k) {
      figures.columns.push_back(column_figure(suite.columns[k], means, k));
      if (suite.columns[k].weight != 0 && means.counts[k] > 0) ++counting, only = k;
    }
    figures.score = {found.subsets[s], {kNaN, kNaN}, layout.rows[s]};
    const bool share =
        counting == 1 && suite.columns[only].weight == 1 && suite.columns[only].share;
    figures.score.interval = share ? figures.columns[only].interval
                                   : bootstrap([&](const Outcome& o) { return o.subsets[s]; });
    out.subsets.push_back(std::move(figures));
  }
  for (size_t k = 0; k < suite.columns.size(); ++k)
    out.columns.push_back(column_figure(suite.columns[k], all, k));
  for (size_t p = 0; p < layout.sections.size(); ++p) {
    const Layout::Part& part = layout.sections[p];
    SectionFigures section{part.name, part.weight, {found.sections[p], {kNaN, kNaN}, 0}};
    for (const auto& [subset, weight] : part.subsets) {
      section.score.rows += layout.rows[subset];
      out.subsets[subset].section = part.name;
    }
    section.score.interval = part.subsets.size() == 1
                                 ? out.subsets[part.subsets[0].first].score.interval
                                 : bootstrap([&](const Outcome& o) { return o.sections[p]; });
    out.sections.push_back(std::move(section));
  }
  out.score = {found.score, {kNaN, kNaN}, 0};
  for (const SectionFigures& section : out.sections) out.score.rows += section.score.rows;
  out.score.interval = out.sections.size() == 1
                           ? out.sections[0].score.interval
                           : bootstrap([](const Outcome& o) { return o.score; });
  out.worst = worst_of(items, judge, options.worst);
  return out;
}

}  // namespace

SuiteReport measure(const Suite& suite, std::span<const Item> items,
                    std::span<const Judgement> judgements, const MeasureOptions& options) {
  check_items(suite, items, judgements);
  std::vector<Unit> units;
  const Layout layout = layout_of(suite, items, units);

  std::vector<Credits> credits;
  std::vector<double> tie_margins;
  for (const Judgement& judge : judgements) {
    CreditOptions credit;
    if (suite.has_ties) {
      std::vector<Scored> pairs;
      for (size_t i = 0; i < items.size(); ++i) pairs.push_back(scored(items[i], judge.scores[i]));
      credit.tie_margin = options.tie_margin ? *options.tie_margin : best_tie_margin(pairs);
    }
    tie_margins.push_back(credit.tie_margin);
    credits.push_back(credits_of(suite, items, units, judge, credit));
  }
  std::vector<std::vector<Outcome>> resamples(judgements.size());
  for (int64_t b = 0; b < options.bootstrap.resamples; ++b) {
    std::vector<Outcome> outcomes = resampled(suite, layout, credits, options.bootstrap.seed, b);
    for (size_t j = 0; j < outcomes.size(); ++j) resamples[j].push_back(std::move(outcomes[j]));
  }

  SuiteReport out;
  out.missing = layout.missing;
  out.rows = static_cast<int64_t>(items.size());
  for (size_t j = 0; j < judgements.size(); ++j) {
    out.results.push_back(
        result_of(suite, items, layout, judgements[j], credits[j], resamples[j], options));
    if (suite.has_ties) out.results.back().tie_margin = tie_margins[j];
  }
  size_t baseline = 0;
  if (!options.baseline.empty()) {
    std::vector<std::string> names;
    for (const Judgement& judge : judgements) names.push_back(judge.judge);
    baseline = static_cast<size_t>(std::find(names.begin(), names.end(), options.baseline) -
                                   names.begin());
    if (baseline == names.size()) {
      fail_settings("flag --compare", "no judge is called " + show(options.baseline) +
                                          did_you_mean(options.baseline, names));
    }
  }
  for (size_t j = 0; j < judgements.size(); ++j) {
    if (j == baseline) continue;
    std::vector<double> differences;
    double above = 0;
    for (size_t b = 0; b < resamples[j].size(); ++b) {
      const double d = resamples[j][b].score - resamples[baseline][b].score;
      differences.push_back(d);
      above += d > 0 ? 1.0 : d == 0 ? 0.5 : 0.0;
    }
    const double tail = (1 - options.bootstrap.confidence) / 2;
    out.comparisons.push_back(
        {judgements[j].judge, judgements[baseline].judge,
         Figure{out.results[j].score.value - out.results[baseline].score.value,
                {math::quantile(differences, tail), math::quantile(differences, 1 - tail)},
                out.results[j].score.rows},
         above / static_cast<double>(differences.size())});
  }
  return out;
}

}  // namespace guerdon::eval
