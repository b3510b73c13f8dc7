#include "cli/commands.h"

#include <algorithm>
#include <vector>

#include "guerdon/base/error.h"

namespace guerdon::cli {

std::span<const Command> commands() {
  static const std::vector<Command> table = {
#define GUERDON_COMMAND(name, floor, help) {#name, Floor::floor, help},
#include "cli/commands.def"
#undef GUERDON_COMMAND
  };
  return table;
}

CLI::App* add_command(CLI::App& program, const std::string& name, const std::string& example) {
  const auto all = commands();
  const auto command =
      std::find_if(all.begin(), all.end(), [&](const Command& c) { return c.name == name; });
  GUERDON_CHECK(command != all.end(), "command ", name, " is not in commands.def");
  return add_subcommand(&program, name, command->help, example);
}

CLI::App* add_subcommand(CLI::App* command, const std::string& name, const std::string& help,
                         const std::string& example) {
  CLI::App* added = command->add_subcommand(name, help)->group("Commands");
  added->footer("\nEvery command also takes --threads N, --quiet and --verbose.\nExample: " +
                example);
  return added;
}

}  // namespace guerdon::cli
