/// `guerdon data judge`: preference rows as questions to a judge with their answers.
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/data.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/log.h"
#include "guerdon/base/random.h"
#include "guerdon/data/judge_question.h"
#include "guerdon/data/source.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  DataArguments data;
  std::string form = "pair", question, output = "-";
  uint64_t seed = 0;
  bool both_orders = false, rescale = false, conversational = false;
};

Json asked(const Arguments& arguments, const std::string& question, const std::string& answer) {
  if (!arguments.conversational) return {{"prompt", question}, {"completion", answer}};
  return {{"prompt", Json::array({{{"role", "user"}, {"content", question}}})},
          {"completion", Json::array({{{"role", "assistant"}, {"content", answer}}})}};
}

/// Chance that depends on the row alone.
Random chance(const Arguments& arguments, const Example& row) {
  return {arguments.seed, Purpose::choose, std::stoull(sha256(row.id).substr(0, 16), nullptr, 16)};
}

void write_pair(const Arguments& arguments, const data::JudgeQuestion& question, const Example& row,
                Output& output) {
  const std::string better = data::response_text(row.responses[0].text),
                    worse = data::response_text(row.responses[1].text);
  const bool first = chance(arguments, row).below(0, 2) == 0;
  const auto write = [&](bool better_is_first) {
    const std::vector<data::Candidate> shown = {{"A", better_is_first ? better : worse},
                                                {"B", better_is_first ? worse : better}};
    Json out = asked(arguments, question.ask(row.prompt, row.fields, shown),
                     data::pair_answer(better_is_first, row.fields));
    out["verdict"] = better_is_first ? "A" : "B";
    output.line(out.dump(-1, ' ', false, Json::error_handler_t::replace));
  };
  write(first);
  if (arguments.both_orders) write(!first);
}

/// Scores from 1 to 5.
std::vector<double> scores_of(const Arguments& arguments, const Example& row) {
  std::vector<double> out;
  for (const Response& response : row.responses) out.push_back(response.fields.number("value"));
  const auto [worst, best] = std::minmax_element(out.begin(), out.end());
  const double low = *worst, high = *best;
  for (double& score : out) {
    if (arguments.rescale) score = high > low ? 1.0 + 4.0 * (score - low) / (high - low) : 3.0;
    if (score < 1.0 || score > 5.0)
      fail_input(row.fields.where(),
                 str("a score is ", score, ", and a judge of lists gives 1 to 5"),
                 "--rescale gives the worst of a list 1 and the best 5");
  }
  return out;
}

void write_list(const Arguments& arguments, const data::JudgeQuestion& question, const Example& row,
                Output& output) {
  const std::vector<double> scores = scores_of(arguments, row);
  std::vector<data::Candidate> shown;
  std::vector<double> shown_scores;
  Json gold = Json::object();
  for (const int64_t i :
       chance(arguments, row).permutation(static_cast<int64_t>(row.responses.size()))) {
    const auto at = static_cast<size_t>(i);
    shown.push_back(
        {data::candidate_name(shown.size()), data::response_text(row.responses[at].text)});
    shown_scores.push_back(scores[at]);
    gold[shown.back().id] = scores[at];
  }
  Json out = asked(arguments, question.ask(row.prompt, row.fields, shown),
                   data::list_answer(shown, shown_scores, row.fields));
  out["gold_scores"] = std::move(gold);
  output.line(out.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void judge(const Arguments& arguments) {
  const data::DataSource source(arguments.data.file, arguments.data.options());
  const bool pairs = arguments.form == "pair";
  data::require_type(source, {pairs ? data::DatasetType::preference : data::DatasetType::ranked},
                     pairs ? "preference pairs are" : "ranked lists are");
  if (!pairs && arguments.both_orders) fail_settings("flag --both-orders", "is of --form pair");
  if (pairs && arguments.rescale) fail_settings("flag --rescale", "is of --form list");
  const data::JudgeQuestion question(arguments.form, arguments.question);
  Output output(arguments.output);
  for (int64_t row = 0; row < source.size(); ++row) {
    const Example example = source.at(row);
    if (pairs) {
      write_pair(arguments, question, example, output);
    } else {
      write_list(arguments, question, example, output);
    }
  }
  output.close();
  log::info(str(source.file().string(), ": ", source.size(), " rows of ", source.form()));
}

}  // namespace

void add_data_judge(CLI::App* data) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      add_subcommand(data, "judge", "Write preferences as questions to a judge, with their answers",
                     "guerdon data judge --data pairs.jsonl --output judge.jsonl");
  arguments->data.add_to(command);
  command
      ->add_option("--form", arguments->form,
                   "pair: which of two is better ([[A]] or [[B]]); list: a score for each (JSON)")
      ->check(CLI::IsMember({"pair", "list"}))
      ->capture_default_str();
  command->add_option("--question", arguments->question,
                      "A Jinja file in place of the built-in question; it sees prompt, a, b, "
                      "responses and the row's columns");
  command->add_option("--seed", arguments->seed, "Of the order in which responses are shown")
      ->capture_default_str();
  command->add_flag("--both-orders", arguments->both_orders, "pair: a row for each order");
  command->add_flag("--rescale", arguments->rescale,
                    "list: the worst response gets 1, the best 5, those between in proportion");
  command->add_flag("--conversational", arguments->conversational,
                    "Messages in place of plain text");
  command->add_option("-o,--output", arguments->output, "JSON lines; - is standard output")
      ->capture_default_str();
  command->callback([arguments] { judge(*arguments); });
}

}  // namespace guerdon::cli
