/// `guerdon explain`: what a method computes under its settings.
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/method.h"
#include "cli/output.h"
#include "guerdon/train/trainer.h"

namespace guerdon::cli {
namespace {

void explain(const MethodArguments& arguments, bool as_json) {
  const std::string where = arguments.where();
  const auto trainer = train::trainer_of(arguments.method, arguments.settings(), where);
  const train::Explanation explanation = trainer->explanation(where);
  const std::string help = train::method(arguments.method).help;
  if (!as_json) {
    write_standard_output("guerdon train " + arguments.method + ": " + help + "\n\n" +
                          train::text_of(explanation));
    return;
  }
  Json out = {{"method", arguments.method}, {"help", help}, {"sections", Json::array()}};
  for (const train::Section& section : explanation)
    out["sections"].push_back({{"title", section.title}, {"lines", section.lines}});
  write_standard_output(out.dump(2) + "\n");
}

}  // namespace

void add_explain(CLI::App& program) {
  auto arguments = std::make_shared<MethodArguments>();
  auto as_json = std::make_shared<bool>(false);
  CLI::App* command = add_command(program, "explain",
                                  "guerdon explain dpo --config dpo.json loss_type=robust "
                                  "label_smoothing=0.1");
  add_method(*command, *arguments);
  command->add_flag("--json", *as_json, "Sections of lines, as JSON");
  command->callback([arguments, as_json] { explain(*arguments, *as_json); });
}

}  // namespace guerdon::cli
