/// `guerdon eval rewardbench`, `eval rm-bench` and their like: judges on public benchmarks.
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/eval.h"
#include "cli/eval_judges.h"
#include "guerdon/base/error.h"
#include "guerdon/base/log.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  JudgeArguments judges;
  eval::MeasureOptions measure;
  ResultArguments result;
};

void eval_suite(const eval::Suite& suite, const Arguments& arguments) {
  const std::vector<eval::Item> items = arguments.judges.read([&](const std::string& file) {
    return eval::read_items(suite, file, arguments.judges.items);
  });
  const auto judgements = arguments.judges.judge(items);
  if (!judgements) return;
  const eval::SuiteReport report = eval::measure(suite, items, *judgements, arguments.measure);
  if (!report.missing.empty()) {
    log::warning(str(suite.name, ": ", report.missing.size(),
                     " subsets are not in the rows; the score is without them"));
  }
  Json json = eval::suite_json(suite, items, report);
  json["data"] = arguments.judges.data.empty() ? arguments.judges.scores : arguments.judges.data;
  arguments.result.write(json, eval::suite_text(suite, report));
}

void add_eval_suite(CLI::App* eval, const eval::Suite& suite) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = add_subcommand(eval, suite.name, suite.help, suite.example);
  arguments->judges.add_to(command);
  command->add_option("--compare", arguments->measure.baseline,
                      "The judge that the others are compared with (default: the first)");
  if (suite.has_ties) {
    command
        ->add_option("--tie-margin", arguments->measure.tie_margin,
                     "Scores that differ by no more are a tie (default: what fits these rows best)")
        ->check(CLI::NonNegativeNumber);
  }
  if (suite.has_user) {
    command
        ->add_option("--context", arguments->judges.items.context,
                     "What the judge is told of the user: none, profile or rubric")
        ->check(CLI::IsMember({"none", "profile", "rubric"}))
        ->capture_default_str();
  }
  command
      ->add_option("--worst", arguments->measure.worst,
                   "Rows to show that the judge has wrong by the most")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  arguments->result.add_to(command);
  command->callback([arguments, &suite] { eval_suite(suite, *arguments); });
}

}  // namespace

void add_eval_suites(CLI::App* eval) {
  for (const eval::Suite& suite : eval::suites()) add_eval_suite(eval, suite);
}

}  // namespace guerdon::cli
