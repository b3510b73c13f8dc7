/// `guerdon eval calibration`: is a judge as sure as it may be?
#include "guerdon/eval/calibration.h"

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
  std::vector<std::string> fit;
  eval::CalibrationOptions calibration;
  ResultArguments result;
};

std::vector<eval::Item> pairs_of(const std::string& file, const eval::ItemOptions& options) {
  const std::vector<Fields> rows = eval::read_rows(file);
  std::vector<eval::Item> items = eval::read_ranked(rows, {eval::read_ranked}, options);
  for (const eval::Item& item : items) {
    if (item.candidates != 2)
      fail_input(item.where, str("has ", item.candidates, " candidates, a pair is expected"));
  }
  return items;
}

std::vector<double> margins_of(const eval::Judgement& judgement) {
  std::vector<double> out;
  for (const std::vector<double>& pair : judgement.scores) out.push_back(pair[0] - pair[1]);
  return out;
}

/// The judgement of the same judge on the pairs that are fitted on.
const eval::Judgement& same_judge(const std::vector<eval::Judgement>& others,
                                  const eval::Judgement& judgement) {
  for (const eval::Judgement& other : others) {
    if (other.judge == judgement.judge) return other;
  }
  fail_settings("flag --fit", "has no scores of judge " + show(judgement.judge));
}

void eval_calibration(const Arguments& arguments) {
  const JudgeArguments::Read read = [&](const std::string& file) {
    return pairs_of(file, arguments.judges.items);
  };
  const std::vector<eval::Item> items = arguments.judges.read(read);
  const auto judgements = arguments.judges.judge(items);
  if (!judgements) return;
  std::vector<eval::Judgement> fits;
  if (!arguments.fit.empty()) {
    JudgeArguments other = arguments.judges;
    (other.models.empty() ? other.scores : other.data) = arguments.fit;
    (other.models.empty() ? other.data : other.scores).clear();
    const std::vector<eval::Item> others = other.read(read);
    auto found = other.judge(others);
    if (!found) return;
    fits = *std::move(found);
  }
  Json json{{"models", Json::array()}};
  std::string text;
  for (const eval::Judgement& judgement : *judgements) {
    std::vector<double> fit;
    if (!fits.empty()) fit = margins_of(same_judge(fits, judgement));
    const eval::Calibration result =
        eval::calibrate(margins_of(judgement), fit, arguments.calibration);
    Json one = eval::calibration_json(result);
    one["name"] = judgement.judge;
    json["models"].push_back(std::move(one));
    text += judgement.judge + "\n" + eval::calibration_text(result);
  }
  arguments.result.write(json, text);
}

}  // namespace

void add_eval_calibration(CLI::App* eval) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = add_subcommand(
      eval, "calibration",
      "Is a judge as sure as it may be? Before and after temperature, isotonic, quantile maps",
      "guerdon eval calibration --model runs/rm --data test.jsonl --fit valid.jsonl");
  arguments->judges.add_to(command);
  command->add_option("--fit", arguments->fit,
                      "Other pairs (with --model), or other scores, that the maps are fitted on; "
                      "without, each fold of the pairs is mapped by a fit of the others");
  command->add_option("--bins", arguments->calibration.bins, "Bins of the errors, and quantiles")
      ->check(CLI::Range(int64_t{1}, int64_t{1000}))
      ->capture_default_str();
  command->add_option("--folds", arguments->calibration.folds, "Folds, without --fit")
      ->check(CLI::Range(int64_t{2}, int64_t{1000}))
      ->capture_default_str();
  arguments->result.add_to(command);
  command->callback([arguments] { eval_calibration(*arguments); });
}

}  // namespace guerdon::cli
