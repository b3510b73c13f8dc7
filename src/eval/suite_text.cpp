#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/eval/suite.h"

namespace guerdon::eval {
namespace {

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json interval_json(const math::Interval& interval) {
  if (!std::isfinite(interval.lower) || !std::isfinite(interval.upper)) return nullptr;
  return Json::array({interval.lower, interval.upper});
}

Json columns_json(const Suite& suite, const std::vector<Figure>& figures) {
  Json out = Json::object();
  for (size_t k = 0; k < figures.size(); ++k) {
    if (figures[k].rows == 0) continue;
    out[suite.columns[k].name] = {{"value", number(figures[k].value)},
                                  {"interval", interval_json(figures[k].interval)},
                                  {"rows", figures[k].rows}};
  }
  return out;
}

/// A text as one string, cut where a reader has seen enough.
std::string shortened(const Text& text) {
  constexpr size_t most = 2000;  // bytes
  std::string out;
  if (const auto* messages = std::get_if<Conversation>(&text)) {
    for (const Message& message : *messages)
      out += (out.empty() ? "" : "\n") + message.role + ": " + message.content;
  } else {
    out = std::get<std::string>(text);
  }
  if (out.size() <= most) return out;
  size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xC0) == 0x80) --end;
  return out.substr(0, end) + " ...";
}

Json result_json(const Suite& suite, std::span<const Item> items, const SuiteResult& result) {
  Json out{{"name", result.judge},
           {"score", result.score.value},
           {"interval", interval_json(result.score.interval)},
           {"rows", result.score.rows},
           {"columns", columns_json(suite, result.columns)}};
  if (result.tie_margin) out["tie_margin"] = *result.tie_margin;
  out["sections"] = Json::array();
  for (const SectionFigures& section : result.sections) {
    out["sections"].push_back({{"name", section.name},
                               {"weight", section.weight},
                               {"rows", section.score.rows},
                               {"score", section.score.value},
                               {"interval", interval_json(section.score.interval)}});
  }
  out["subsets"] = Json::array();
  for (const SubsetFigures& subset : result.subsets) {
    out["subsets"].push_back({{"name", subset.name},
                              {"section", subset.section},
                              {"rows", subset.rows},
                              {"score", subset.score.value},
                              {"interval", interval_json(subset.score.interval)},
                              {"columns", columns_json(suite, subset.columns)}});
  }
  out["worst"] = Json::array();
  for (const Disagreement& worst : result.worst) {
    const Item& item = items[worst.item];
    Json one = item.prompts.size() == 1
                   ? disagreement_json(item.prompts[0], worst.margin, worst.preferred)
                   : Json{{"where", item.where}, {"margin", worst.margin}};
    one["subset"] = item.subset;
    if (!item.id.empty()) one["id"] = item.id;
    out["worst"].push_back(std::move(one));
  }
  return out;
}

// --- text -------------------------------------------------------------------------------------

std::string points(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", 100 * share);
  return std::isfinite(share) ? text : "-";
}

std::string with_interval(const Figure& figure) {
  std::string out = points(figure.value);
  if (std::isfinite(figure.interval.lower))
    out += " (" + points(figure.interval.lower) + " to " + points(figure.interval.upper) + ")";
  return out;
}

std::string padded(const std::string& text, size_t width) {
  return text + std::string(text.size() < width ? width - text.size() : 1, ' ');
}

std::string one_result(const Suite& suite, const SuiteResult& result) {
  std::string out;
  const auto line = [&](const std::string& name, const std::string& text) {
    out += padded(name, 26) + text + "\n";
  };
  line("score",
       with_interval(result.score) + ", 95 % interval, of " + str(result.score.rows) + " rows");
  for (size_t k = 0; k < suite.columns.size(); ++k) {
    if (result.columns[k].rows == 0) continue;
    line("  " + suite.columns[k].name,
         padded(with_interval(result.columns[k]), 24) + suite.columns[k].help);
  }
  if (result.tie_margin) line("tie margin", str(*result.tie_margin));
  const auto subsets_of = [&](const std::string& section, const std::string& indent) {
    for (const SubsetFigures& subset : result.subsets) {
      if (subset.section == section)
        line(indent + subset.name,
             padded(with_interval(subset.score), 24) + str("of ", subset.rows));
    }
  };
  if (result.subsets.size() == 1) return out;
  const bool sections =
      std::any_of(suite.sections.begin(), suite.sections.end(),
                  [](const Section& section) { return section.subsets.size() > 1; });
  for (const SectionFigures& section : result.sections) {
    if (sections) line(section.name, with_interval(section.score));
    subsets_of(section.name, "  ");
  }
  if (std::any_of(result.subsets.begin(), result.subsets.end(),
                  [](const SubsetFigures& subset) { return subset.section.empty(); })) {
    out += "not counted\n";
    subsets_of("", "  ");
  }
  return out;
}

/// Judges as rows; columns: the score, then sections, or the figures where there is one section.
std::string many_results(const Suite& suite, const SuiteReport& report) {
  std::vector<std::string> heads{"score"};
  const bool by_section = report.results[0].sections.size() > 1;
  if (by_section) {
    for (const SectionFigures& section : report.results[0].sections) heads.push_back(section.name);
  } else {
    for (const Column& column : suite.columns) heads.push_back(column.name);
  }
  size_t widest = 5;
  for (const SuiteResult& result : report.results) widest = std::max(widest, result.judge.size());
  std::string out = padded("", widest + 2);
  for (size_t h = 0; h < heads.size(); ++h)
    out += padded(heads[h], h == 0 ? 22 : std::max<size_t>(heads[h].size() + 2, 8));
  out += "\n";
  for (const SuiteResult& result : report.results) {
    out += padded(result.judge, widest + 2) + padded(with_interval(result.score), 22);
    for (size_t h = 1; h < heads.size(); ++h) {
      const double value =
          by_section ? result.sections[h - 1].score.value : result.columns[h - 1].value;
      out += padded(points(value), std::max<size_t>(heads[h].size() + 2, 8));
    }
    out += "\n";
  }
  return out;
}

}  // namespace

Json disagreement_json(const Example& row, double margin, size_t preferred) {
  return {{"where", row.fields.where()},
          {"margin", margin},
          {"prompt", shortened(row.prompt)},
          {"right", shortened(row.responses[0].text)},
          {"wrong", shortened(row.responses[preferred].text)}};
}

Json suite_json(const Suite& suite, std::span<const Item> items, const SuiteReport& report) {
  Json out{{"benchmark", suite.name}, {"rows", report.rows}, {"missing", report.missing}};
  out["models"] = Json::array();
  for (const SuiteResult& result : report.results)
    out["models"].push_back(result_json(suite, items, result));
  out["comparisons"] = Json::array();
  for (const JudgeComparison& comparison : report.comparisons) {
    out["comparisons"].push_back({{"model", comparison.judge},
                                  {"baseline", comparison.baseline},
                                  {"difference", comparison.difference.value},
                                  {"interval", interval_json(comparison.difference.interval)},
                                  {"share_above_zero", comparison.share_above_zero}});
  }
  return out;
}

std::string suite_text(const Suite& suite, const SuiteReport& report) {
  std::string out = suite.title + ", in percent\n";
  if (report.results.size() == 1) {
    out += report.results[0].judge + "\n" + one_result(suite, report.results[0]);
  } else {
    out += many_results(suite, report);
  }
  if (!report.comparisons.empty()) {
    out += "difference from " + report.comparisons[0].baseline +
           " (paired bootstrap over the same rows)\n";
    for (const JudgeComparison& comparison : report.comparisons) {
      out += padded("  " + comparison.judge, 36) +
             padded(with_interval(comparison.difference), 26) + "better in " +
             points(comparison.share_above_zero) + " % of the resamples\n";
    }
  }
  if (!report.missing.empty()) {
    out += "missing: ";
    for (size_t i = 0; i < report.missing.size(); ++i)
      out += (i > 0 ? ", " : "") + report.missing[i];
    out += "\n";
  }
  return out;
}

}  // namespace guerdon::eval
