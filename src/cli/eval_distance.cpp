/// `guerdon eval distance`: how far rewards are from asking for the same.
#include "guerdon/eval/distance.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/eval.h"
#include "cli/eval_judges.h"
#include "guerdon/base/error.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  JudgeArguments judges;
  std::string tabular, canonical = "value";
  ResultArguments result;
};

/// Distances between judges over the candidates of each row.
std::optional<eval::DistanceTable> over_responses(const Arguments& arguments) {
  const std::vector<eval::Item> items = arguments.judges.read([&](const std::string& file) {
    return eval::read_candidates(eval::read_rows(file), {eval::read_candidates},
                                 arguments.judges.items);
  });
  const auto judgements = arguments.judges.judge(items);
  if (!judgements) return std::nullopt;
  if (judgements->size() < 2)
    fail_settings("flag --model", "two judges are needed, of models or of scores");
  eval::DistanceTable out;
  for (const eval::Judgement& a : *judgements) {
    out.names.push_back(a.judge);
    out.distances.emplace_back();
    for (const eval::Judgement& b : *judgements)
      out.distances.back().push_back(eval::response_distance(a.scores, b.scores));
  }
  return out;
}

void eval_distance(const Arguments& arguments) {
  std::optional<eval::DistanceTable> table;
  if (arguments.tabular.empty()) {
    table = over_responses(arguments);
    if (!table) return;
  } else {
    const eval::Canonical canonical = eval::canonical_named(arguments.canonical);
    const eval::TabularRewards given = eval::read_tabular(arguments.tabular);
    table = eval::distance_table(given.rewards, given.environment, canonical);
  }
  arguments.result.write(eval::distance_json(*table), eval::distance_text(*table));
}

}  // namespace

void add_eval_distance(CLI::App* eval) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = add_subcommand(
      eval, "distance", "How far rewards are from asking for the same: STARC, EPIC, DARD",
      "guerdon eval distance --model runs/a --model runs/b --data pairs.jsonl");
  arguments->judges.add_to(command);
  command->add_option("--tabular", arguments->tabular,
                      "Rewards of a small decision process instead: JSON {\"transition\": "
                      "[S][A][S], \"rewards\": {\"NAME\": [S][A][S]}, \"discount\", \"policy\"}");
  command
      ->add_option("--canonical", arguments->canonical,
                   "With --tabular: value, potential or minimal (STARC), epic or dard")
      ->capture_default_str();
  arguments->result.add_to(command);
  command->callback([arguments] { eval_distance(*arguments); });
}

}  // namespace guerdon::cli
