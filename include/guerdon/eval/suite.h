/// Reward benchmarks, as data. What RewardBench, RM-Bench, RewardMATH and the others differ in is
/// how a row is read, what credit its scores get, and how subsets become one number; a `Suite` says
/// these three things, and one function measures them all. Numbers in, numbers out: scores come
/// from any reward (judge.h), or from a published table (items.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "guerdon/base/json_reader.h"
#include "guerdon/eval/credit.h"
#include "guerdon/eval/items.h"
#include "guerdon/math/intervals.h"

namespace guerdon::eval {

/// One figure that is averaged over rows. The score of a subset is the sum of weight x mean.
struct Column {
  std::string name, help;
  double weight = 0;
  bool share = true;  ///< of rows, between 0 and 1: its interval is Wilson's
};

/// Subsets that make a section, with the weights of their mean; and the section's own weight in
/// the score. Subsets that the rows lack are left out of the mean, and named in the result.
struct Section {
  std::string name;
  double weight = 1;
  std::vector<std::pair<std::string, double>> subsets;
};

struct CreditOptions {
  double tie_margin = 0;  ///< scores that differ by no more are the judge's tie
};

struct Suite {
  std::string name, title, help, example;
  RowForm form;
  std::vector<Column> columns;
  /// The columns' values for the items of a group; NaN where the item has no part in a column.
  std::vector<double> (*credit)(std::span<const Scored> group, const CreditOptions& options);
  /// What an item should have for that: "one right one is expected"; "" when it has it.
  std::string (*expects)(const Item& item);
  std::vector<Section> sections = {};  ///< none: every subset is one
  bool by_rows = false;    ///< without sections: subsets weigh as many as their rows, else the same
  bool has_ties = false;   ///< people's ties are answered with a tie margin, fitted when not given
  bool has_user = false;   ///< rows tell of the user who asks (ItemOptions::context)
  std::string strip = {};  ///< what subset names may begin with: "LLMBar/Adversarial/"
};

const std::vector<Suite>& suites();
/// Throws Error (Kind::settings) for a name that no suite has.
const Suite& suite_named(const std::string& name);

/// The items of a file, subsets named as the suite names them.
std::vector<Item> read_items(const Suite& suite, const std::filesystem::path& file,
                             const ItemOptions& options);

/// A judge's scores: [items][candidates].
struct Judgement {
  std::string judge;
  std::vector<std::vector<double>> scores;
};
/// The judgements that the items' own scores are, by name. Throws Error (Kind::input) when a judge
/// scored some of the items only.
std::vector<Judgement> given_judgements(std::span<const Item> items);

struct Figure {
  double value = 0;
  math::Interval interval{0, 1};  ///< 95 %
  int64_t rows = 0;               ///< that it is a mean of
};

struct SubsetFigures {
  std::string name, section;  ///< the section is "" when it does not count
  int64_t rows = 0;
  Figure score;
  std::vector<Figure> columns;
};

struct SectionFigures {
  std::string name;
  double weight = 1;
  Figure score;
};

/// A row that the judge has wrong by the most.
struct Disagreement {
  size_t item = 0;
  double margin = 0;     ///< lowest right score less highest wrong one; below 0
  size_t preferred = 0;  ///< the wrong candidate with the highest score
};

struct SuiteResult {
  std::string judge;
  Figure score;
  std::vector<Figure> columns;  ///< over all rows, whatever their subset
  std::vector<SectionFigures> sections;
  std::vector<SubsetFigures> subsets;
  std::optional<double> tie_margin;  ///< of suites with ties
  std::vector<Disagreement> worst;
};

/// A row that a judge has wrong, as reports show it: {"where", "margin", "prompt", "right",
/// "wrong"}, texts cut at 2,000 bytes. `preferred`: the wrong response with the highest score.
Json disagreement_json(const Example& row, double margin, size_t preferred);

/// The same rows, resampled for both judges at once (paired bootstrap).
struct JudgeComparison {
  std::string judge, baseline;
  Figure difference;            ///< of the scores, judge - baseline
  double share_above_zero = 0;  ///< of the resamples; half of those at exactly 0
};

struct SuiteReport {
  std::vector<SuiteResult> results;          ///< one a judge
  std::vector<JudgeComparison> comparisons;  ///< of every judge with the baseline
  std::vector<std::string> missing;          ///< subsets of the suite that the rows lack
  int64_t rows = 0;
};

struct MeasureOptions {
  std::optional<double> tie_margin = {};
  std::string baseline = {};  ///< judge that the others are compared with; "": the first
  int64_t worst = 10;         ///< disagreements to keep
  math::BootstrapOptions bootstrap = {};
};

/// Measures judges on the items of a suite. Shares have Wilson intervals; what is made of several
/// means has a bootstrap interval over rows (groups, where rows are credited in groups) within each
/// subset. Throws Error: Kind::input when an item's candidates do not fit the suite or no row
/// belongs to its sections, Kind::settings when the baseline is no judge.
SuiteReport measure(const Suite& suite, std::span<const Item> items,
                    std::span<const Judgement> judgements, const MeasureOptions& options = {});

/// {"benchmark", "rows", "missing", "models": [{"name", "score", "interval", "columns", "sections",
/// "subsets", "worst"}], "comparisons"}
Json suite_json(const Suite& suite, std::span<const Item> items, const SuiteReport& report);
/// A table for people.
std::string suite_text(const Suite& suite, const SuiteReport& report);

}  // namespace guerdon::eval
