/// `guerdon plan`: the memory of a run before it begins.
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/forecast.h"
#include "cli/method.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/train/trainer.h"

namespace guerdon::cli {
namespace {

struct Arguments : MethodArguments {
  std::string memory;
  bool json = false;
};

void plan(const Arguments& arguments) {
  const std::string where = arguments.where();
  const int64_t memory = arguments.memory.empty()
                             ? train::machine_memory()
                             : bytes_of_text(arguments.memory, "flag --memory");
  const auto trainer = train::trainer_of(arguments.method, arguments.settings(), where);
  const train::Forecast found = train::forecast(*trainer, where, {.rows = 400});
  const train::TrainSettings& settings = trainer->common();
  const int64_t now = settings.per_device_train_batch_size;
  const bool by_tokens = settings.micro_batch_tokens > 0;
  const int64_t largest =
      by_tokens ? 0 : train::largest_batch(settings, found.preview, found.process_bytes, memory);
  if (arguments.json) {
    Json out = forecast_json(found);
    out["memory_bytes"] = memory;
    out["fits"] = found.memory.peak().total() <= memory;
    if (!by_tokens) out["largest_per_device_train_batch_size"] = largest;
    write_standard_output(out.dump(2) + "\n");
    return;
  }
  std::string out = forecast_text(found) + "\n" + memory_table(found.memory) + "\n";
  out += str("The peak is ", train::memory_text(found.memory.peak().total()), " of ",
             train::memory_text(memory), ", to be trusted within a quarter.\n");
  if (by_tokens) {
    out += str("Forward passes are cut at micro_batch_tokens=", settings.micro_batch_tokens,
               "; lower it to need less.\n");
  } else if (largest > 0) {
    out +=
        str("The largest per_device_train_batch_size that fits, with a fifth to spare: ", largest,
            " ", found.preview.unit, " (now ", now, ").\n");
  } else {
    out +=
        "No batch fits with a fifth to spare: gradient_checkpointing=true, lora.r or shorter "
        "rows need less.\n";
  }
  write_standard_output(out);
}

}  // namespace

void add_plan(CLI::App& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      add_command(program, "plan", "guerdon plan reward --config reward.json --memory 8GiB");
  add_method(*command, *arguments);
  command->add_option("--memory", arguments->memory,
                      "What there is: 8GiB, 512MiB, 16GB (default: this machine's)");
  command->add_flag("--json", arguments->json, "Bytes, as JSON");
  command->description(
      command->get_description() +
      ".\nReads shapes from the model's headers and tokens from the first 400 rows of each file; "
      "no "
      "weights. The\nprediction is for the CPU, and within 25 % of what reward, sft, dpo and grpo "
      "were measured to take.\nMemory of rewards other than models is not in it; grpo is planned "
      "with completions of full length");
  command->callback([arguments] { plan(*arguments); });
}

}  // namespace guerdon::cli
