/// `guerdon train`: run a method.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/output.h"
#include "guerdon/train/trainer.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  std::string method, config, output;
  std::vector<std::string> overrides;
  std::optional<std::string> resume;
};

void run_train(Arguments arguments) {
  // "--resume KEY=VALUE": the path may be left out, so what follows may be a setting.
  if (arguments.resume && arguments.resume->find('=') != std::string::npos &&
      !std::filesystem::exists(*arguments.resume)) {
    arguments.overrides.push_back(*arguments.resume);
    arguments.resume = "";
  }
  const auto trainer = train::method(arguments.method).make();
  Json settings = arguments.config.empty() ? Json::object() : read_settings(arguments.config);
  override_settings(trainer->settings(), settings, arguments.overrides);

  train::TrainRequest request{.method = arguments.method,
                              .where = arguments.config.empty() ? "settings" : arguments.config,
                              .output = arguments.output,
                              .progress = Console::get().progress()};
  if (arguments.resume) {
    request.resume = true;
    if (!arguments.resume->empty()) request.resume_from = *arguments.resume;
  }
  request.opened = [](const train::RunFolder& run) {
    log::set_sink(Console::get().log_sink(run.log_file()));
  };
  const train::TrainResult result = train::run_training(settings, request);

  Json summary = {{"status", train::name_of(result.status)}, {"step", result.step}};
  if (!result.model.empty()) summary["model"] = result.model.string();
  for (const auto& [name, value] : result.last) summary["metrics"][name] = value;
  write_standard_output(summary.dump() + "\n");
}

}  // namespace

void add_train(CLI::App& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = add_command(
      program, "train", "guerdon train dpo --config dpo.json learning_rate=5e-7 --output runs/dpo");
  std::string names;
  for (const train::Method& m : train::methods()) names += (names.empty() ? "" : ", ") + m.name;
  command->add_option("METHOD", arguments->method, "One of " + names)->required();
  command->add_option("SETTINGS", arguments->overrides, "KEY=VALUE, after those of the file");
  command->add_option("--config", arguments->config,
                      "Settings: JSON with comments, or YAML (guerdon config METHOD writes one)");
  command->add_option("--output", arguments->output, "The run's folder");
  command
      ->add_option("--resume", arguments->resume,
                   "Go on from the newest intact checkpoint of the run, or from this one")
      ->expected(0, 1);
  command->callback([arguments] { run_train(*arguments); });
}

}  // namespace guerdon::cli
