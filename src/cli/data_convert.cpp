/// `guerdon data convert`: rows of any known form as rows of TRL's.
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/data.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/base/log.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  DataArguments data;
  std::string to = "same", output = "-";
};

void convert(const Arguments& arguments) {
  const data::DataSource source(arguments.data.file, arguments.data.options());
  if (arguments.to == "unpaired") {
    data::require_type(source, {data::DatasetType::preference}, "preference pairs are");
  }
  Output output(arguments.output);
  for (int64_t row = 0; row < source.size(); ++row) {
    const Example example = source.at(row);
    if (arguments.to == "unpaired") {
      for (const Example& half : data::unpair(example)) {
        output.line(data::row_json(half, data::DatasetType::unpaired_preference).dump());
      }
    } else if (arguments.to == "prompts") {
      output.line(data::row_json(data::as_prompt(example), data::DatasetType::prompt_only).dump());
    } else {
      output.line(data::row_json(example, source.type()).dump());
    }
  }
  output.close();
  log::info(str(source.file().string(), ": ", source.size(), " rows of ", source.form()));
}

}  // namespace

void add_data_convert(CLI::App* data) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      add_subcommand(data, "convert", "Write rows of any known form in TRL's columns",
                     "guerdon data convert --data raw.jsonl.gz --output pairs.jsonl");
  arguments->data.add_to(command);
  command
      ->add_option("--to", arguments->to,
                   "same type, unpaired (pairs to labelled rows), or prompts (prompts alone)")
      ->check(CLI::IsMember({"same", "unpaired", "prompts"}))
      ->capture_default_str();
  command->add_option("-o,--output", arguments->output, "JSON lines; - is standard output")
      ->capture_default_str();
  command->callback([arguments] { convert(*arguments); });
}

}  // namespace guerdon::cli
