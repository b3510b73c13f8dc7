/// `guerdon train`: run a method.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/forecast.h"
#include "cli/method.h"
#include "cli/output.h"
#include "guerdon/train/trainer.h"

namespace guerdon::cli {
namespace {

struct Arguments : MethodArguments {
  std::string output;
  bool dry_run = false;
  std::optional<std::string> resume;
};

void run_train(Arguments arguments) {
  // "--resume KEY=VALUE": the path may be left out, so what follows may be a setting.
  if (arguments.resume && arguments.resume->find('=') != std::string::npos &&
      !std::filesystem::exists(*arguments.resume)) {
    arguments.overrides.push_back(*arguments.resume);
    arguments.resume = "";
  }
  const Json settings = arguments.settings();
  train::TrainRequest request{.method = arguments.method,
                              .where = arguments.where(),
                              .output = arguments.output,
                              .progress = Console::get().progress()};
  if (arguments.resume) {
    request.resume = true;
    if (!arguments.resume->empty()) request.resume_from = *arguments.resume;
  }
  if (arguments.dry_run) {
    const train::Forecast found = train::dry_run(settings, request);
    write_standard_output(forecast_text(found) + memory_line(found) +
                          "nothing was written; without --dry-run the run begins\n");
    return;
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
  add_method(*command, *arguments);
  command->add_option("--output", arguments->output, "The run's folder");
  command
      ->add_option("--resume", arguments->resume,
                   "Go on from the newest intact checkpoint of the run, or from this one")
      ->expected(0, 1);
  command->add_flag("--dry-run", arguments->dry_run,
                    "Check settings, files, the first 100 rows, shapes, rewards and memory; write "
                    "nothing");
  command->callback([arguments] { run_train(*arguments); });
}

}  // namespace guerdon::cli
