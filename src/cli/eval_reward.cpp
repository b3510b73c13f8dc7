/// `guerdon eval reward`: how good a judge is on preference pairs.
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/data.h"
#include "cli/eval.h"
#include "cli/judging.h"
#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/base/signals.h"
#include "guerdon/eval/judge.h"
#include "guerdon/eval/suite.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  DataArguments data;
  ResultArguments result;
  JudgingArguments judging;
  std::string model;
  std::vector<std::string> by;
  int64_t worst = 10;
};

void eval_reward(const Arguments& arguments) {
  const data::DataSource source(arguments.data.file, arguments.data.options());
  data::require_type(source, {data::DatasetType::preference}, "preference pairs are");
  const NamedReward judge = open_reward(arguments.model, "--model");
  const std::optional<text::Tokenizer> tokenizer = arguments.judging.open_tokenizer();
  // Columns that benchmarks use for the kind of a row.
  const std::vector<std::string> columns =
      arguments.by.empty()
          ? std::vector<std::string>{"subset", "category", "section", "set", "source"}
          : arguments.by;

  const StopSignals signals;
  const ProgressSink progress = Console::get().progress();
  std::vector<eval::ScoredPair> pairs;
  std::map<std::string, int64_t> seen;
  std::multimap<double, Json> worst;  // by margin, the most negative first
  for (int64_t row = 0; row < source.size();) {
    if (stop_signal() != 0) return;
    const std::vector<Example> rows = next_rows(source, row, arguments.judging.batch_size);
    std::vector<eval::ScoredPair> judged =
        eval::score_pairs(*judge.reward, rows, columns, tokenizer ? &*tokenizer : nullptr);
    for (size_t i = 0; i < judged.size(); ++i, ++row) {
      for (const auto& [column, value] : judged[i].subsets) ++seen[column];
      const double margin = judged[i].chosen - judged[i].rejected;
      if (margin < 0) worst.emplace(margin, eval::disagreement_json(rows[i], margin, 1));
      if (worst.size() > static_cast<size_t>(arguments.worst)) worst.erase(std::prev(worst.end()));
      pairs.push_back(std::move(judged[i]));
    }
    progress({.task = "judging", .done = row, .total = source.size(), .unit = "pair"});
  }
  for (const std::string& column : arguments.by) {
    if (!seen.contains(column))
      fail_settings("flag --by",
                    "no row of " + arguments.data.file + " has a column " + show(column));
  }
  const eval::PairBenchmark result = eval::benchmark(pairs);
  Json json = eval::benchmark_json(result);
  json["worst"] = Json::array();
  for (const auto& [margin, row] : worst) json["worst"].push_back(row);
  json["model"] = arguments.model;
  json["data"] = arguments.data.file;
  arguments.result.write(json, eval::benchmark_text(result));
}

}  // namespace

void add_eval_reward(CLI::App* command) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* reward = add_subcommand(
      command, "reward", "Accuracy and calibration of a judge on preference pairs",
      "guerdon eval reward --model runs/rm --data pairs_eval.jsonl --by category --json");
  reward
      ->add_option(
          "--model", arguments->model,
          "A reward model's folder or run; or any reward: a file of settings, JSON, or a name")
      ->required();
  arguments->data.add_to(reward);
  reward
      ->add_option(
          "--by", arguments->by,
          "Columns whose values are told apart (default: subset, category, section, set, source)")
      ->delimiter(',');
  reward
      ->add_option("--worst", arguments->worst, "Rows to show that the judge has wrong by the most")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  arguments->judging.add_to(reward);
  arguments->result.add_to(reward);
  reward->callback([arguments] { eval_reward(*arguments); });
}

}  // namespace guerdon::cli
