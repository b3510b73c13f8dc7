/// `guerdon data strength`: what an ensemble thinks of each pair, written beside it.
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/data.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/data/strength.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  DataArguments data;
  std::vector<std::string> scores, members;
  std::string output = "-";
};

void strength(const Arguments& arguments) {
  const data::DataSource source(arguments.data.file, arguments.data.options());
  data::require_type(source, {data::DatasetType::preference}, "preference pairs are");
  std::vector<std::vector<double>> differences(static_cast<size_t>(source.size()));
  for (const std::string& file : arguments.scores) {
    const auto more = data::read_differences(file, arguments.members);
    if (more.size() != differences.size())
      fail_input(file, str("has scores of ", more.size(), " pairs, ", arguments.data.file, " has ",
                           differences.size()));
    for (size_t i = 0; i < more.size(); ++i)
      differences[i].insert(differences[i].end(), more[i].begin(), more[i].end());
  }

  Output output(arguments.output);
  int64_t against = 0;
  for (int64_t row = 0; row < source.size(); ++row) {
    const data::Strength found = data::strength_of(differences[static_cast<size_t>(row)]);
    Json line = data::row_json(source.at(row), source.type());
    line["strength_mean"] = found.mean;
    line["strength_std"] = found.deviation;
    against += found.mean < 0;
    output.line(line.dump());
  }
  output.close();
  log::info(str(source.size(), " pairs judged by ", differences.front().size(),
                " members; the mean is against the label of ", against));
}

}  // namespace

void add_data_strength(CLI::App* data) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = add_subcommand(
      data, "strength",
      "Write how strongly an ensemble prefers each pair: strength_mean and strength_std",
      "guerdon data strength --data pairs.jsonl --scores a.jsonl --scores b.jsonl "
      "--output strong.jsonl");
  arguments->data.add_to(command);
  command
      ->add_option("--scores", arguments->scores,
                   "What `guerdon score` wrote about these pairs, one file for each judge; an "
                   "ensemble's file has all of its members")
      ->required();
  command
      ->add_option("--members", arguments->members,
                   "Components that are members (else member0, member1, ..., or the total)")
      ->delimiter(',');
  command->add_option("-o,--output", arguments->output, "JSON lines; - is standard output")
      ->capture_default_str();
  command->callback([arguments] { strength(*arguments); });
}

}  // namespace guerdon::cli
