/// `guerdon eval agreement`: does one measure of models order them as another does?
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/eval.h"
#include "guerdon/base/error.h"
#include "guerdon/eval/items.h"
#include "guerdon/math/ranking.h"
#include "guerdon/math/statistics.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  std::string data, benchmark = "benchmark", downstream = "downstream";
  double persistence = 0.9;
  ResultArguments result;
};

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

void eval_agreement(const Arguments& arguments) {
  std::vector<double> x, y;
  for (const Fields& row : eval::read_rows(arguments.data)) {
    x.push_back(row.number(arguments.benchmark));
    y.push_back(row.number(arguments.downstream));
  }
  if (x.size() < 2)
    fail_input(arguments.data, "has one row, two or more are needed (a row for each model)");
  const math::RankBiasedOverlap overlap = math::rank_biased_overlap(x, y, arguments.persistence);
  const std::vector<std::pair<const char*, double>> figures{
      {"pearson", math::pearson(x, y)},    {"spearman", math::spearman(x, y)},
      {"kendall", math::kendall(x, y)},    {"weighted_kendall", math::weighted_kendall(x, y)},
      {"ndcg", math::ndcg(x, y)},          {"rbo", overlap.extrapolated},
      {"rbo_truncated", overlap.truncated}};
  Json json{{"data", arguments.data}, {"rows", x.size()}};
  std::string text = str(x.size(), " rows\n");
  for (const auto& [name, value] : figures) {
    json[name] = number(value);
    text += str(name, std::string(18 - std::string(name).size(), ' '), value, "\n");
  }
  arguments.result.write(json, text);
}

}  // namespace

void add_eval_agreement(CLI::App* eval) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = add_subcommand(
      eval, "agreement", "Does a benchmark order models as what comes of using them does?",
      "guerdon eval agreement --data models.jsonl --benchmark rewardbench2 --downstream "
      "best_of_16");
  command
      ->add_option("--data", arguments->data, "A row for each model, with a number in both columns")
      ->required();
  command->add_option("--benchmark", arguments->benchmark, "Column that orders the models")
      ->capture_default_str();
  command
      ->add_option("--downstream", arguments->downstream,
                   "Column of what came of it; the gains of NDCG")
      ->capture_default_str();
  command->add_option("--persistence", arguments->persistence, "p of rank-biased overlap")
      ->check(CLI::Range(0.01, 0.999))
      ->capture_default_str();
  arguments->result.add_to(command);
  command->callback([arguments] { eval_agreement(*arguments); });
}

}  // namespace guerdon::cli
