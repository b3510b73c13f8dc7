/// `guerdon score`: judge responses, a row each.
#include <charconv>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/data.h"
#include "cli/judging.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/base/signals.h"
#include "guerdon/eval/judge.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  DataArguments data;
  std::string reward, output = "-";
  JudgingArguments judging;
};

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::scored: return "scored";
    case Verdict::no_opinion: return "no_opinion";
    case Verdict::failed: return "failed";
    case Verdict::timed_out: return "timed_out";
  }
  return "";
}

/// Scores are float32: printed with the digits that tell them apart, not with a double's.
Json number(double value) {
  if (!std::isfinite(value)) return nullptr;
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, static_cast<float>(value)).ptr;
  double shown = 0;
  std::from_chars(digits, end, shown);
  return shown;
}

Json score_json(int64_t index, const eval::ResponseScore& score, const std::string& name) {
  Json out{{"index", index}, {"total", number(score.total)}, {"components", Json::object()}};
  for (const auto& [component, value] : score.components)
    out["components"][component] = number(value);
  if (score.components.empty()) out["components"][name] = number(score.total);
  for (const auto& [component, value] : score.deviations)
    out["deviation"][component] = number(value);
  if (score.verdict != Verdict::scored) out["verdict"] = name_of(score.verdict);
  if (!score.note.empty()) out["note"] = score.note;
  return out;
}

void score(const Arguments& arguments) {
  const data::DataSource source(arguments.data.file, arguments.data.options());
  data::require_type(
      source,
      {data::DatasetType::language_modeling, data::DatasetType::prompt_completion,
       data::DatasetType::preference, data::DatasetType::unpaired_preference,
       data::DatasetType::scored, data::DatasetType::ranked, data::DatasetType::candidates},
      "rows with a response are");
  const NamedReward judge = open_reward(arguments.reward, "--reward");
  const std::optional<text::Tokenizer> tokenizer = arguments.judging.open_tokenizer();

  const StopSignals signals;
  Output output(arguments.output);
  const ProgressSink progress = Console::get().progress();
  for (int64_t row = 0; row < source.size() && stop_signal() == 0;) {
    const std::vector<Example> rows = next_rows(source, row, arguments.judging.batch_size);
    const auto scores = eval::score_rows(*judge.reward, rows, tokenizer ? &*tokenizer : nullptr);
    for (const std::vector<eval::ResponseScore>& responses : scores) {
      for (size_t i = 0; i < responses.size(); ++i) {
        Json line = score_json(row, responses[i], judge.name);
        if (source.type() == data::DatasetType::preference)
          line["response"] = i == 0 ? "chosen" : "rejected";
        else if (responses.size() > 1)
          line["response"] = i;
        output.line(line.dump(-1, ' ', false, Json::error_handler_t::replace));
      }
      ++row;
    }
    progress({.task = "scoring", .done = row, .total = source.size(), .unit = "row"});
  }
  if (stop_signal() == 0) output.close();
}

}  // namespace

void add_score(CLI::App& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      add_command(program, "score",
                  "guerdon score --reward runs/rm --data responses.jsonl --output scores.jsonl");
  command
      ->add_option("--reward", arguments->reward,
                   "A reward model's folder or run, a file of settings, {\"use\": ...} as JSON, or "
                   "a reward's name")
      ->required();
  arguments->data.add_to(command);
  command
      ->add_option(
          "-o,--output", arguments->output,
          "JSON lines {\"index\", \"total\", \"components\"}, with \"deviation\" where the reward "
          "knows it; - is standard output")
      ->capture_default_str();
  arguments->judging.add_to(command);
  command->callback([arguments] { score(*arguments); });
}

}  // namespace guerdon::cli
