/// `guerdon eval best-of-n`: what choosing the best of n samples by a judge is worth.
#include "guerdon/eval/best_of_n.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/eval.h"
#include "cli/eval_judges.h"
#include "guerdon/base/error.h"
#include "guerdon/math/steps.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  std::string data;
  std::vector<std::string> models;
  eval::SampleOptions samples;
  JudgingArguments judging;
  ResultArguments result;
};

/// The samples as items, for a judge that scores texts.
std::vector<eval::Item> items_of(const std::vector<eval::Samples>& rows) {
  std::vector<eval::Item> items;
  for (const eval::Samples& row : rows) {
    if (row.row.responses.empty())
      fail_input(row.where, "field \"responses\" is missing: a model needs texts to judge");
    eval::Item item{.where = row.where};
    item.prompts = {row.row};
    item.candidates = row.count;
    items.push_back(std::move(item));
  }
  return items;
}

void eval_best_of_n(const Arguments& arguments) {
  math::reduce_steps({}, arguments.samples.reduction);  // refuses an unknown name
  std::vector<eval::Samples> rows = eval::read_samples(arguments.data, arguments.samples);
  if (!arguments.models.empty()) {
    const std::vector<eval::Item> items = items_of(rows);
    for (const std::string& model : arguments.models) {
      auto judgement = judged(model, arguments.judging, items);
      if (!judgement) return;
      for (size_t i = 0; i < rows.size(); ++i)
        rows[i].scores[model] = std::move(judgement->scores[i]);
    }
  }
  for (eval::Samples& row : rows) name_judge(row.scores, name_of_file(arguments.data));
  const std::vector<eval::BestOfCurve> curves = eval::best_of_curves(rows);
  Json json{{"data", arguments.data}, {"rows", rows.size()}};
  json["models"] = eval::best_of_json(curves);
  arguments.result.write(json, eval::best_of_text(curves));
}

}  // namespace

void add_eval_best_of_n(CLI::App* eval) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = add_subcommand(
      eval, "best-of-n", "Gold reward of the best of n by a judge, its KL, and over-optimisation",
      "guerdon eval best-of-n --model runs/rm --data samples.jsonl --gold correct");
  command
      ->add_option(
          "--data", arguments->data,
          "Rows {\"prompt\", \"responses\": [...], \"gold\": [...]}, with \"scores\" where "
          "there are some")
      ->required();
  command->add_option("--model", arguments->models,
                      "Judges: reward models' folders or runs; or any rewards (may be repeated)");
  command->add_option("--gold", arguments->samples.gold,
                      "Column of the gold values (default: gold, correct or "
                      "gold_pref_vs_reference)");
  command->add_option("--proxy", arguments->samples.proxies,
                      "Further columns with a number a sample, as judges (may be repeated)");
  command
      ->add_option("--reduce", arguments->samples.reduction,
                   "How scores of steps become one: min, max, product, geometric_mean, mean, "
                   "mean_logit, mean_odds or last")
      ->capture_default_str();
  arguments->judging.add_to(command);
  arguments->result.add_to(command);
  command->callback([arguments] { eval_best_of_n(*arguments); });
}

}  // namespace guerdon::cli
