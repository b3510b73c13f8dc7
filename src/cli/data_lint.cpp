/// `guerdon data lint`: what is wrong with data, before the first step.
#include <deque>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "cli/data.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/data/lint.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  DataArguments data;
  EncodeArguments encode;
  std::vector<std::string> test;
  bool json = false;
};

void print(const data::Finding& finding, bool json) {
  if (json) {
    write_standard_output(Json{{"severity", data::name_of(finding.severity)},
                               {"name", finding.name},
                               {"text", finding.text},
                               {"count", finding.count},
                               {"of", finding.of},
                               {"where", finding.where}}
                              .dump() +
                          "\n");
    return;
  }
  std::string line = data::name_of(finding.severity) + ": " + finding.name + ": " + finding.text;
  for (const std::string& place : finding.where) line += "\n  " + place;
  write_standard_output(line + "\n");
}

void run_lint(const Arguments& arguments) {
  const data::DataSource::Options options = arguments.data.options();
  const data::DataSource train(arguments.data.file, options);
  std::deque<data::DataSource> held;
  std::vector<const data::DataSource*> test;
  for (const std::string& file : arguments.test) test.push_back(&held.emplace_back(file, options));

  std::optional<TextModel> model;
  std::optional<data::Encoder> encoder;
  if (!arguments.encode.model.empty()) {
    model = TextModel::load(arguments.encode);
    encoder.emplace(model->tokenizer, model->chat(), arguments.encode.options());
  }
  const auto findings = data::lint(
      {&train}, test, model ? &model->tokenizer : nullptr, encoder ? &*encoder : nullptr,
      {.max_length = arguments.encode.length(), .truncation_mode = arguments.encode.mode(false)});
  int64_t fatal = 0;
  for (const data::Finding& finding : findings) {
    print(finding, arguments.json);
    fatal += finding.severity == data::Severity::fatal;
  }
  if (findings.empty() && !arguments.json) write_standard_output("nothing found\n");
  if (fatal > 0) {
    fail_input(arguments.data.file, str(fatal, " fatal ", fatal == 1 ? "finding" : "findings"),
               "training on this data cannot do what was meant; see above");
  }
}

}  // namespace

void add_data_lint(CLI::App* data) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = add_subcommand(
      data, "lint", "Find cut, swapped, duplicate and leaking rows; exits with 3 when one is fatal",
      "guerdon data lint --data pairs.jsonl --test test.jsonl --model models/tiny");
  arguments->data.add_to(command);
  command->add_option("--test", arguments->test,
                      "Held-out files, whose prompts must not be trained on");
  arguments->encode.add_to(command, false);
  command->add_flag("--json", arguments->json, "One object for each finding");
  command->callback([arguments] { run_lint(*arguments); });
}

}  // namespace guerdon::cli
