#include "guerdon/report/run_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "guerdon/base/error.h"
#include "guerdon/math/statistics.h"
#include "guerdon/report/svg.h"
#include "report/benchmark_result.h"
#include "report/run_metrics.h"
#include "report/run_record.h"
#include "report/samples.h"

namespace guerdon::report {
namespace {

constexpr const char* kArrow = " \xE2\x86\x92 ";  // U+2192

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(std::lround(seconds));
  if (seconds < 10) return short_number(seconds) + " s";
  if (whole < 120) return str(whole, " s");
  if (whole < 7200) return str(whole / 60, " min ", whole % 60, " s");
  return str(whole / 3600, " h ", whole / 60 % 60, " min");
}

std::string percent(double share) { return short_number(std::round(share * 1000) / 10) + " %"; }

Html status_badge(const std::string& status) {
  const Mood mood = status == "finished" || status == "skipped" ? Mood::good
                    : status == "failed"                        ? Mood::problem
                    : status == "interrupted"                   ? Mood::warning
                                                                : Mood::neutral;
  return badge(mood, status);
}

/// What one plot shows: metrics by name, with the words of the legend.
struct PlotSpec {
  const char* heading;
  const char* note;
  struct Line {
    const char* metric;
    const char* legend;
    const char* lower = nullptr;  ///< metrics that make a band around it
    const char* upper = nullptr;
  };
  std::vector<Line> lines;
  std::vector<Level> levels = {};
  bool smooth = true;
};

const std::vector<PlotSpec>& learning_plots() {
  static const std::vector<PlotSpec> specs{
      {"Loss",
       "On the training rows, and on the held-out ones.",
       {{"loss", "train"}, {"eval_loss", "held out"}}},
      {"Accuracy",
       "Share of pairs whose chosen response gets the higher score.",
       {{"accuracy", "train"}, {"eval_accuracy", "held out"}},
       {{"chance", 0.5}}},
      {"Accuracy of the implicit reward",
       "Share of pairs that the policy ranks as the labels do.",
       {{"rewards/accuracies", "train"}, {"eval_rewards/accuracies", "held out"}},
       {{"chance", 0.5}}},
      {"Margin",
       "Score of the chosen minus score of the rejected response.",
       {{"margin", "train"},
        {"eval_margin", "held out"},
        {"rewards/margins", "implicit reward"},
        {"eval_rewards/margins", "implicit reward, held out"}}},
      {"Scores",
       "Mean score of a batch between its least and its greatest.",
       {{"mean_reward", "mean", "min_reward", "max_reward"}}},
      {"Implicit rewards",
       "beta (log pi - log reference) of both sides.",
       {{"rewards/chosen", "chosen"}, {"rewards/rejected", "rejected"}}},
      {"Log-probabilities",
       "Of whole responses, under the policy.",
       {{"logps/chosen", "chosen"}, {"logps/rejected", "rejected"}}},
      {"Token accuracy",
       "Share of tokens that are the model's first choice.",
       {{"mean_token_accuracy", "train"}, {"eval_mean_token_accuracy", "held out"}}},
      {"Reward",
       "What the policy is trained on: mean of a step, and the spread between completions.",
       {{"reward", "mean"}}},
      {"Distance from the reference", "KL, nats per token.", {{"kl", "KL"}}},
      {"Entropy",
       "Nats per token: how undecided the policy is.",
       {{"entropy", "entropy"}, {"eval_entropy", "held out"}}},
      {"Length of completions",
       "Tokens: mean of a step between its shortest and its longest.",
       {{"completions/mean_length", "mean", "completions/min_length", "completions/max_length"},
        {"completions/mean_terminated_length", "of those that ended by themselves"}}},
      {"Cut, and without a signal",
       "Share of completions cut at the limit; share of groups whose rewards are all equal.",
       {{"completions/clipped_ratio", "cut"}, {"frac_reward_zero_std", "equal rewards"}}},
      {"Clipped ratios",
       "Share of tokens whose probability ratio met the clip.",
       {{"clip_ratio/region_mean", "all"},
        {"clip_ratio/low_mean", "low"},
        {"clip_ratio/high_mean", "high"}}},
      {"Sampler against trainer",
       "Difference of log-probabilities per token: should be rounding only.",
       {{"sampling/logp_difference", "difference"},
        {"sampling/sampling_logp_difference/max", "largest"}}},
  };
  return specs;
}

const std::vector<PlotSpec>& machine_plots() {
  static const std::vector<PlotSpec> specs{
      {"Learning rate", "", {{"learning_rate", "learning rate"}}, {}, false},
      {"Gradient norm", "Before clipping.", {{"grad_norm", "norm"}}},
      {"Speed", "Tokens per second.", {{"tokens_per_second", "tokens/s"}}},
      {"Time of a step",
       "Seconds.",
       {{"step_time", "step"},
        {"time/collect", "collect"},
        {"time/update", "update"},
        {"time/generate", "generate"}}},
      {"Memory", "Greatest resident size so far, MB.", {{"peak_memory_mb", "peak"}}},
  };
  return specs;
}

class Plotter {
 public:
  explicit Plotter(const RunRecord& run) : run_(run) {}

  /// The plots of a list that have something to show.
  std::vector<Html> figures(const std::vector<PlotSpec>& specs) {
    std::vector<Html> out;
    for (const PlotSpec& spec : specs) {
      LinePlot plot{.levels = spec.levels, .smooth = spec.smooth};
      for (const PlotSpec::Line& line : spec.lines) {
        const Curve* curve = take(line.metric);
        if (!curve) continue;
        Series series{line.legend, curve->steps, curve->values};
        const Curve* lower = line.lower ? take(line.lower) : nullptr;
        const Curve* upper = line.upper ? take(line.upper) : nullptr;
        if (lower && upper && lower->values.size() == series.y.size() &&
            upper->values.size() == series.y.size()) {
          series.lower = lower->values;
          series.upper = upper->values;
        }
        if (std::string_view(line.metric) == "reward") add_spread(series);
        plot.series.push_back(std::move(series));
      }
      if (!plot.series.empty()) out.push_back(figure(spec.heading, spec.note, line_plot(plot)));
    }
    return out;
  }

  /// Components of the reward, on one scale and each on its own; and their way against the KL.
  std::vector<Html> reward_figures() {
    const std::vector<Component> components = reward_components(run_);
    std::vector<Html> out;
    LinePlot together{.levels = {{"start", 0}}};
    PathPlot way{"KL to the reference, nats per token", "gain in standard deviations", {}};
    const Curve* kl = run_.find("kl");
    for (const Component& c : components) {
      take("rewards/" + c.name + "/mean");
      take("rewards/" + c.name + "/std");
      if (c.standardised.values.empty()) continue;
      together.series.push_back({c.name + (c.optimised ? "" : " (only watched)"),
                                 c.standardised.steps, c.standardised.values});
      if (kl && kl->values.size() == c.standardised.values.size() &&
          c.standardised.values.size() >= 20) {
        // Means of stretches: single steps are mostly noise.
        Series s{together.series.back().name, {}, {}};
        const size_t n = kl->values.size(), stretches = 12;
        for (size_t i = 0; i < stretches; ++i) {
          const auto part = [&](const std::vector<double>& v) {
            const size_t begin = i * n / stretches, end = (i + 1) * n / stretches;
            return math::average(std::span(v).subspan(begin, end - begin));
          };
          s.x.push_back(part(kl->values));
          s.y.push_back(part(c.standardised.values));
        }
        way.series.push_back(std::move(s));
      }
    }
    if (together.series.size() > 1) {
      out.push_back(figure(
          "What is rewarded, and what is watched",
          "All components on one scale: gain since the start, in standard deviations between "
          "completions at the start. "
          "When a watched one turns down while a rewarded one climbs, the reward is being hacked.",
          line_plot(together)));
    }
    if (way.series.size() > 1) {
      out.push_back(figure("Gain against distance",
                           "The same over the KL: how much each nat away from the reference buys. "
                           "Ring: start; dot: end.",
                           path_plot(way)));
    }
    if (components.size() > 1) {
      for (const Component& c : components) {
        Series series{c.name, c.mean.steps, c.mean.values};
        out.push_back(figure("Reward: " + c.name,
                             c.optimised ? "" : "Weight 0: scored and logged only.",
                             line_plot({.series = {series}})));
      }
    }
    return out;
  }

  /// All metrics that no other plot has shown.
  std::vector<Html> others() {
    constexpr size_t kMost = 40;
    std::vector<Html> out;
    for (const auto& [name, curve] : run_.metrics) {
      if (used_.contains(name) || out.size() >= kMost || name == "num_tokens" || name == "epoch")
        continue;
      out.push_back(figure(name, "", line_plot({.series = {{name, curve.steps, curve.values}}})));
    }
    return out;
  }

 private:
  const Curve* take(const std::string& metric) {
    const Curve* curve = run_.find(metric);
    if (curve) used_.insert(metric);
    return curve;
  }

  void add_spread(Series& series) {
    const Curve* spread = take("reward_std");
    if (!spread || spread->values.size() != series.y.size()) return;
    for (size_t i = 0; i < series.y.size(); ++i) {
      series.lower.push_back(series.y[i] - spread->values[i]);
      series.upper.push_back(series.y[i] + spread->values[i]);
    }
  }

  const RunRecord& run_;
  std::set<std::string> used_;
};

std::optional<double> number_in(const Json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

double last_finite(const Curve& curve) {
  for (size_t i = curve.values.size(); i > 0; --i) {
    if (std::isfinite(curve.values[i - 1])) return curve.values[i - 1];
  }
  return std::numeric_limits<double>::quiet_NaN();
}

std::vector<Tile> run_tiles(const RunRecord& run) {
  std::vector<Tile> out;
  const auto change = [&](const char* name, const char* metric, const char* note) {
    const Curve* curve = run.find(metric);
    if (!curve) return;
    const Ends e = ends(*curve);
    if (e.count == 0) return;
    out.push_back({name,
                   e.count < 4 ? short_number(last_finite(*curve))
                               : short_number(e.first) + kArrow + short_number(e.last),
                   note});
  };
  if (const auto accuracy = number_in(run.result, "accuracy")) {
    out.push_back({"Accuracy", percent(*accuracy), "of held-out pairs"});
    if (const auto ece = number_in(run.result, "ece"))
      out.push_back({"Calibration error", short_number(*ece), "expected (ECE)"});
  }
  if (is_online(run)) {
    change("Reward", "reward", "first and last tenth of the run");
    for (const Component& c : reward_components(run)) {
      if (!c.optimised)
        change(("Watched: " + c.name).c_str(), ("rewards/" + c.name + "/mean").c_str(), "weight 0");
    }
    change("KL", "kl", "nats per token");
  } else if (const Curve* accuracy = run.find("eval_accuracy")) {
    out.push_back({"Accuracy", percent(last_finite(*accuracy)), "on held-out pairs"});
  } else if (run.find("eval_loss")) {
    change("Held-out loss", "eval_loss", "");
  } else if (run.find("accuracy")) {
    change("Accuracy", "accuracy", "on the training pairs");
  } else {
    change("Loss", "loss", "first and last tenth of the run");
  }
  if (const Curve* loss = run.find("loss")) {
    double seconds = 0;
    if (const Curve* times = run.find("step_time")) {
      for (const double t : times->values) seconds += std::isfinite(t) ? t : 0;
    }
    out.push_back({"Steps", short_number(static_cast<double>(loss->values.size())),
                   seconds > 0 ? "in " + duration(seconds) : ""});
  }
  if (const Curve* speed = run.find("tokens_per_second"); speed && !speed->values.empty()) {
    out.push_back({"Tokens per second", short_number(math::quantile(speed->values, 0.5)),
                   "median of the steps"});
  }
  if (const Curve* memory = run.find("peak_memory_mb"); memory && !memory->values.empty()) {
    const double peak = *std::max_element(memory->values.begin(), memory->values.end());
    out.push_back({"Memory", short_number(std::round(peak)) + " MB", "peak"});
  }
  return out;
}

/// What `guerdon eval` found.
Html evaluation(const Json& result) {
  if (has_models(result)) return benchmark_result(result);
  std::vector<Html> figures;
  std::vector<Tile> numbers;
  const auto tile = [&](const char* name, const char* key, const char* note) {
    if (const auto value = number_in(result, key))
      numbers.push_back({name, short_number(*value), note});
  };
  if (const auto accuracy = number_in(result, "accuracy")) {
    std::string note;
    if (result.contains("accuracy_interval") && result["accuracy_interval"].is_array() &&
        result["accuracy_interval"].size() == 2) {
      note = "95 % interval " + percent(result["accuracy_interval"][0].get<double>()) + " to " +
             percent(result["accuracy_interval"][1].get<double>());
    }
    numbers.push_back({"Accuracy", percent(*accuracy), note});
  }
  if (const auto best = number_in(result, "best_accuracy")) {
    numbers.push_back({"Best possible", percent(*best), "of labels with this much noise"});
  }
  tile("Pairs", "pairs", "");
  tile("ECE", "ece", "mean gap between claim and truth");
  tile("Brier", "brier", "0.25 is a coin");
  tile("Log loss", "log_loss", "0.693 is a coin");
  tile("Temperature", "temperature", "1 needs no correction");
  tile("Length correlation", "length_correlation", "margin against length difference");

  if (result.contains("bins") && result["bins"].is_array()) {
    std::vector<math::ReliabilityBin> bins;
    for (const Json& bin : result["bins"]) {
      const auto value = [&](const char* key) {
        return number_in(bin, key).value_or(std::numeric_limits<double>::quiet_NaN());
      };
      bins.push_back({value("lower"), value("upper"),
                      static_cast<int64_t>(number_in(bin, "count").value_or(0)),
                      value("probability"), value("outcome")});
    }
    figures.push_back(figure("Calibration",
                             "How often the preferred response won, against how sure the model "
                             "was. On the diagonal it can be "
                             "taken at its word; below it, it is overconfident.",
                             reliability_plot(bins)));
  }
  if (result.contains("margins") && result["margins"].is_object()) {
    const Json& margins = result["margins"];
    math::Histogram bins{
        number_in(margins, "start").value_or(0), number_in(margins, "width").value_or(0), {}};
    if (margins.contains("counts") && margins["counts"].is_array()) {
      for (const Json& count : margins["counts"])
        bins.counts.push_back(count.is_number_integer() ? count.get<int64_t>() : 0);
    }
    if (!bins.counts.empty() && bins.width > 0) {
      figures.push_back(figure("Margins",
                               "Score of the chosen minus score of the rejected response; left of "
                               "0 the model disagrees with the label.",
                               histogram_plot(bins, "margin", 0.0)));
    }
  }
  if (result.contains("subsets") && result["subsets"].is_array() && result["subsets"].size() > 1) {
    BarPlot bars{.levels = {{"chance", 0.5}}};
    for (const Json& subset : result["subsets"]) {
      if (!subset.is_object() || bars.rows.size() >= 24) continue;
      BarRow row{subset.value("name", ""),
                 number_in(subset, "accuracy").value_or(std::numeric_limits<double>::quiet_NaN())};
      if (subset.contains("accuracy_interval") && subset["accuracy_interval"].is_array() &&
          subset["accuracy_interval"].size() == 2 && subset["accuracy_interval"][0].is_number() &&
          subset["accuracy_interval"][1].is_number()) {
        row.lower = subset["accuracy_interval"][0].get<double>();
        row.upper = subset["accuracy_interval"][1].get<double>();
      }
      row.note = "n=" + short_number(number_in(subset, "pairs").value_or(0));
      bars.rows.push_back(std::move(row));
    }
    figures.push_back(figure("Accuracy by subset", "With 95 % intervals.", bar_plot(bars)));
  }
  return joined({tiles(numbers), grid(figures), worst_rows(result)});
}

Html diagnosis_list(const RunRecord& run) {
  std::vector<Diagnosis> all = diagnoses(run);
  std::stable_sort(all.begin(), all.end(),
                   [](const Diagnosis& a, const Diagnosis& b) { return a.mood > b.mood; });
  std::vector<Html> out;
  out.reserve(all.size() + 1);
  for (const Diagnosis& d : all) out.push_back(remark(d.mood, d.what, d.advice));
  if (all.empty())
    out.push_back(remark(Mood::good, "Nothing in the numbers of this run asks for attention."));
  return joined(out);
}

std::string pretty(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace);
}

Html intro(const RunRecord& run) {
  std::string words = status_badge(run.status()).markup;
  for (const char* key : {"command", "started", "finished"}) {
    if (run.manifest.is_object() && run.manifest.contains(key) && run.manifest[key].is_string()) {
      words += " <span class=\"soft\">" +
               (std::string_view(key) == "command" ? "" : escaped(key) + " ") +
               escaped(run.manifest[key].get<std::string>()) + "</span>";
    }
  }
  return {"<p>" + words + "</p>"};
}

std::vector<Section> run_sections(const RunRecord& run) {
  std::vector<Section> out;
  const auto add = [&](const std::string& heading, const Html& content) {
    out.push_back({heading, content});
  };
  const auto add_grid = [&](const std::string& heading, const std::vector<Html>& figures) {
    if (!figures.empty()) add(heading, grid(figures));
  };
  Plotter plotter(run);
  if (!run.metrics.empty() || !run.unread.empty() || run.status() == "failed")
    add("What the numbers say", diagnosis_list(run));
  if (run.result.is_object()) add("Evaluation", evaluation(run.result));
  add_grid("Rewards", plotter.reward_figures());
  add_grid("Learning", plotter.figures(learning_plots()));
  if (!run.samples.empty()) add("Samples", samples_table(run.samples));
  add_grid("Machine", plotter.figures(machine_plots()));
  std::vector<Html> details;
  if (const std::vector<Html> others = plotter.others(); !others.empty()) {
    details.push_back(folded(str("All other metrics (", others.size(), ")"), grid(others)));
  }
  if (!run.config.is_null())
    details.push_back(folded("Settings", preformatted(pretty(run.config))));
  if (!run.manifest.is_null())
    details.push_back(folded("Manifest", preformatted(pretty(run.manifest))));
  if (!run.log_end.empty())
    details.push_back(
        folded("End of the log", preformatted(run.log_end), run.status() == "failed"));
  if (!details.empty()) add("Details", joined(details));
  return out;
}

/// A stage of a recipe, as its driver recorded it.
struct Stage {
  std::string name, command, status, note;
  double seconds = 0;
  std::filesystem::path folder;
};

std::vector<Stage> read_stages(const Json& record, const std::filesystem::path& file) {
  std::vector<Stage> out;
  if (!record.is_object() || !record.contains("stages") || !record["stages"].is_array()) {
    fail_input(file.string(), "key stages: a list is expected");
  }
  for (const Json& entry : record["stages"]) {
    if (!entry.is_object()) fail_input(file.string(), "key stages: a list of objects is expected");
    const auto text_at = [&](const char* key) {
      const auto found = entry.find(key);
      return found != entry.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    out.push_back({text_at("name"), text_at("command"), text_at("status"), text_at("note"),
                   number_in(entry, "seconds").value_or(0),
                   file.parent_path() / text_at("folder")});
  }
  return out;
}

std::string recipe_report(const Json& record, const std::filesystem::path& file) {
  const std::vector<Stage> stages = read_stages(record, file);
  std::vector<std::vector<Html>> rows;
  std::vector<Section> sections;
  std::vector<Tile> summary;
  Html before_after;
  std::string status = "finished";
  double seconds = 0;
  for (const Stage& stage : stages) {
    seconds += stage.seconds;
    if (status == "finished" && stage.status != "finished" && stage.status != "skipped")
      status = stage.status;
    rows.push_back({text(stage.name), text(stage.command), status_badge(stage.status),
                    text(stage.seconds > 0 ? duration(stage.seconds) : ""), text(stage.note)});
    RunRecord run;
    try {
      run = read_run(stage.folder);
    } catch (const Error&) {
      continue;  // a stage that never began, or one that leaves no run folder: the table says so
    }
    if (run.metrics.empty() && !run.result.is_object() && stage.status != "failed") continue;
    const std::vector<Tile> numbers = run_tiles(run);
    for (const Tile& tile : numbers) {
      const bool headline = tile.name == "Accuracy" || tile.name == "Calibration error" ||
                            tile.name == "Reward" || tile.name.starts_with("Watched");
      if (headline && (run.result.is_object() || is_online(run))) {
        summary.push_back({stage.name + ": " + tile.name, tile.value, tile.note});
      }
    }
    std::vector<Html> parts;
    if (!run.result.is_object()) parts.push_back(tiles(numbers));
    for (const Section& section : run_sections(run)) {
      if (section.heading == "Samples" && is_online(run)) before_after = section.content;
      if (section.heading == "Samples") continue;
      parts.push_back({"<h3>" + escaped(section.heading) + "</h3>" + section.content.markup});
    }
    sections.push_back({stage.name, joined(parts)});
  }
  summary.push_back({"Time", duration(seconds), str(stages.size(), " stages")});
  std::vector<Section> all{
      {"Stages", table({{"Stage"}, {"Command"}, {"Status"}, {"Time", true}, {"Result"}}, rows)}};
  if (!before_after.markup.empty()) all.push_back({"Before and after", before_after});
  all.insert(all.end(), sections.begin(), sections.end());
  const auto title = record.find("title");
  return page(title != record.end() && title->is_string() ? title->get<std::string>() : "recipe",
              joined({{"<p>" + status_badge(status).markup + "</p>"}, tiles(summary)}), all);
}

}  // namespace

std::string run_report(const std::filesystem::path& folder) {
  const std::filesystem::path stages = folder / "stages.json";
  if (std::filesystem::is_regular_file(stages)) return recipe_report(read_json(stages), stages);
  const RunRecord run = read_run(folder);
  return page(run.name, joined({intro(run), tiles(run_tiles(run))}), run_sections(run));
}

}  // namespace guerdon::report
