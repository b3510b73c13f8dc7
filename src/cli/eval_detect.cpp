/// `guerdon eval detect`: do texts of one kind score above those of another?
#include "guerdon/eval/detect.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/eval.h"
#include "cli/eval_judges.h"
#include "guerdon/base/error.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  std::string data;
  std::vector<std::string> models;
  JudgingArguments judging;
  ResultArguments result;
};

/// The texts as items, for a judge that scores texts.
std::vector<eval::Item> items_of(const std::vector<eval::LabelledText>& texts) {
  std::vector<eval::Item> items;
  for (const eval::LabelledText& text : texts) {
    if (text.row.responses.empty())
      fail_input(text.where, "field \"text\" is missing: a model needs texts to judge");
    eval::Item item{.where = text.where};
    item.prompts = {text.row};
    item.candidates = 1;
    items.push_back(std::move(item));
  }
  return items;
}

void eval_detect(const Arguments& arguments) {
  std::vector<eval::LabelledText> texts = eval::read_labelled(arguments.data);
  if (!arguments.models.empty()) {
    const std::vector<eval::Item> items = items_of(texts);
    for (const std::string& model : arguments.models) {
      const auto judgement = judged(model, arguments.judging, items);
      if (!judgement) return;
      for (size_t i = 0; i < texts.size(); ++i) texts[i].scores[model] = judgement->scores[i][0];
    }
  }
  for (eval::LabelledText& text : texts) name_judge(text.scores, name_of_file(arguments.data));
  if (texts[0].scores.empty())
    fail_settings("flag --model", "a judge is needed, or rows with \"score\" or \"scores\"");
  Json json{{"data", arguments.data}, {"models", Json::array()}};
  std::string words;
  for (const auto& [judge, unused] : texts[0].scores) {
    std::vector<double> positives, negatives;
    for (const eval::LabelledText& text : texts) {
      const auto score = text.scores.find(judge);
      if (score == text.scores.end())
        fail_input(text.where, "has no score of judge " + show(judge) + ", other rows have");
      (text.positive ? positives : negatives).push_back(score->second);
    }
    if (positives.empty() || negatives.empty())
      fail_input(arguments.data, "holds texts of one label only, 0 and 1 are needed");
    const eval::Detection result = eval::detect(positives, negatives);
    Json one = eval::detection_json(result);
    one["name"] = judge;
    json["models"].push_back(std::move(one));
    words += judge + ": " + eval::detection_text(result);
  }
  arguments.result.write(json, words);
}

}  // namespace

void add_eval_detect(CLI::App* eval) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = add_subcommand(
      eval, "detect", "A judge as a detector: AUROC of texts with label 1 against label 0",
      "guerdon eval detect --model runs/rm --data texts.jsonl");
  command
      ->add_option(
          "--data", arguments->data,
          "Rows {\"text\", \"label\": 0 or 1}, with \"score\" or \"scores\" where there are "
          "some")
      ->required();
  command->add_option("--model", arguments->models,
                      "Judges: reward models' folders or runs; or any rewards (may be repeated)");
  arguments->judging.add_to(command);
  arguments->result.add_to(command);
  command->callback([arguments] { eval_detect(*arguments); });
}

}  // namespace guerdon::cli
