#include "cli/eval_judges.h"

#include <algorithm>
#include <filesystem>

#include "cli/console.h"
#include "guerdon/base/error.h"
#include "guerdon/base/signals.h"
#include "guerdon/math/steps.h"

namespace guerdon::cli {

std::string name_of_file(const std::string& file) {
  std::filesystem::path name = std::filesystem::path(file).filename();
  while (name.extension() == ".gz" || name.extension() == ".jsonl" || name.extension() == ".json")
    name.replace_extension();
  return name.string();
}

void JudgeArguments::add_to(CLI::App* command) {
  command->add_option("--model", models,
                      "Judges: reward models' folders or runs; or any rewards (may be repeated)");
  command->add_option("--data", data,
                      "The rows: JSON lines or a JSON array, plain or gzip (may be repeated)");
  command->add_option(
      "--scores", scores,
      "Given scores of one judge or several: rows with the ids of the data or in its "
      "order; without --data they are the rows (may be repeated)");
  command
      ->add_option("--reduce", items.reduction,
                   "How scores of steps become one: min, max, product, geometric_mean, mean, "
                   "mean_logit, mean_odds or last")
      ->capture_default_str();
  judging.add_to(command);
}

std::vector<eval::Item> JudgeArguments::read(const Read& read) const {
  if (models.empty() && scores.empty() && data.empty())
    fail_settings("flag --model", "a judge is needed: --model, or --scores with given scores");
  if (!models.empty() && data.empty())
    fail_settings("flag --data", "is needed with --model: the rows to be judged");
  math::reduce_steps({}, items.reduction);  // refuses an unknown name
  const bool scores_alone = data.empty();
  std::vector<eval::Item> out;
  if (scores_alone) {
    out = read(scores[0]);
  } else {
    for (const std::string& file : data) {
      for (eval::Item& item : read(file)) out.push_back(std::move(item));
    }
  }
  for (size_t i = scores_alone ? 1 : 0; i < scores.size(); ++i)
    eval::add_scores(out, scores[i], name_of_file(scores[i]), items);
  const std::string name = name_of_file(scores_alone ? scores[0] : data[0]);
  for (eval::Item& item : out) name_judge(item.scores, name);
  return out;
}

std::optional<std::vector<eval::Judgement>> JudgeArguments::judge(
    std::span<const eval::Item> all) const {
  std::vector<eval::Judgement> out;
  for (const std::string& model : models) {
    std::optional<eval::Judgement> judgement = judged(model, judging, all);
    if (!judgement) return std::nullopt;
    out.push_back(*std::move(judgement));
  }
  for (eval::Judgement& judgement : eval::given_judgements(all))
    out.push_back(std::move(judgement));
  if (out.empty())
    fail_settings("flag --model", "a judge is needed: --model, or --scores with given scores");
  return out;
}

std::optional<eval::Judgement> judged(const std::string& model, const JudgingArguments& judging,
                                      std::span<const eval::Item> items) {
  const NamedReward judge = open_reward(model, "--model");
  const std::optional<text::Tokenizer> tokenizer = judging.open_tokenizer();
  const StopSignals signals;
  const ProgressSink progress = Console::get().progress();
  eval::Judgement out{model, {}};
  const auto batch = static_cast<size_t>(judging.batch_size);
  for (size_t at = 0; at < items.size(); at += batch) {
    if (stop_signal() != 0) return std::nullopt;
    const auto part = items.subspan(at, std::min(batch, items.size() - at));
    for (std::vector<double>& scores :
         eval::score_items(*judge.reward, part, tokenizer ? &*tokenizer : nullptr))
      out.scores.push_back(std::move(scores));
    progress({.task = "judging",
              .done = static_cast<int64_t>(out.scores.size()),
              .total = static_cast<int64_t>(items.size()),
              .unit = "row"});
  }
  return out;
}

}  // namespace guerdon::cli
