/// `guerdon data split`: two files that share no prompt.
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/data.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/data/prompt_key.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  DataArguments data;
  std::string train, test;
  double share = 0.1;
  uint64_t seed = 0;
};

void split(const Arguments& arguments) {
  const data::DataSource source(arguments.data.file, arguments.data.options());
  Output train(arguments.train), test(arguments.test);
  int64_t held_out = 0;
  for (int64_t row = 0; row < source.size(); ++row) {
    const Example example = source.at(row);
    const bool held = data::is_held_out(example, arguments.share, arguments.seed);
    (held ? test : train).line(data::row_json(example, source.type()).dump());
    held_out += held;
  }
  if (held_out == 0 || held_out == source.size()) {
    fail_input(arguments.data.file, str("all ", source.size(), " rows fall on one side"),
               "another --share or --seed; rows of one prompt stay together");
  }
  train.close();
  test.close();
  log::info(str(source.size() - held_out, " rows to ", arguments.train, ", ", held_out, " to ",
                arguments.test));
}

}  // namespace

void add_data_split(CLI::App* data) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = add_subcommand(
      data, "split", "Divide rows so that no prompt is on both sides",
      "guerdon data split --data all.jsonl --train train.jsonl --test test.jsonl --share 0.1");
  arguments->data.add_to(command);
  command->add_option("--train", arguments->train, "Where most rows go")->required();
  command->add_option("--test", arguments->test, "Where the held-out rows go")->required();
  command->add_option("--share", arguments->share, "Share of the prompts that is held out")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--seed", arguments->seed, "Another seed, another split")
      ->capture_default_str();
  command->callback([arguments] { split(*arguments); });
}

}  // namespace guerdon::cli
