/// `guerdon eval`: how good a judge is.
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/data.h"
#include "cli/judging.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/base/signals.h"
#include "guerdon/eval/judge.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  DataArguments data;
  std::string model, output, tokenizer;
  std::vector<std::string> by;
  int64_t batch_size = kBatchSize;
  bool json = false;
};

void eval_reward(const Arguments& arguments) {
  const data::DataSource source(arguments.data.file, arguments.data.options());
  data::require_type(source, {data::DatasetType::preference}, "preference pairs are");
  const NamedReward judge = open_reward(arguments.model, "--model");
  std::optional<text::Tokenizer> tokenizer;
  if (!arguments.tokenizer.empty()) tokenizer = text::Tokenizer::load(arguments.tokenizer);
  // Columns that benchmarks use for the kind of a row.
  const std::vector<std::string> columns =
      arguments.by.empty()
          ? std::vector<std::string>{"subset", "category", "section", "set", "source"}
          : arguments.by;

  const StopSignals signals;
  const ProgressSink progress = Console::get().progress();
  std::vector<eval::ScoredPair> pairs;
  std::map<std::string, int64_t> seen;
  for (int64_t row = 0; row < source.size();) {
    if (stop_signal() != 0) return;
    const std::vector<Example> rows = next_rows(source, row, arguments.batch_size);
    for (eval::ScoredPair& pair :
         eval::score_pairs(*judge.reward, rows, columns, tokenizer ? &*tokenizer : nullptr)) {
      for (const auto& [column, value] : pair.subsets) ++seen[column];
      pairs.push_back(std::move(pair));
      ++row;
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
  json["model"] = arguments.model;
  json["data"] = arguments.data.file;
  if (!arguments.output.empty()) {
    Output output(arguments.output);
    output.write(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    output.close();
  }
  write_standard_output(arguments.json
                            ? json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"
                            : eval::benchmark_text(result));
}

}  // namespace

void add_eval(CLI::App& program) {
  CLI::App* command =
      add_command(program, "eval", "guerdon eval reward --model runs/rm --data pairs_eval.jsonl");
  command->require_subcommand(1);
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
  reward->add_option("--tokenizer", arguments->tokenizer,
                     "Folder whose tokenizer counts tokens, for rewards that ask for them");
  add_batch_size(reward, arguments->batch_size);
  reward->add_option("-o,--output", arguments->output,
                     "The result as JSON; in a run folder as result.json the report shows it");
  reward->add_flag("--json", arguments->json, "JSON on standard output");
  reward->callback([arguments] { eval_reward(*arguments); });
}

}  // namespace guerdon::cli
