/// The table of commands, and how a command puts itself into the program.
#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string>

namespace guerdon::cli {

/// `ground` commands are linked into the program; `upper` ones need tensors and come from
/// libguerdon_cli.so, which is opened only for them: LibTorch takes a quarter of a second to load.
enum class Floor { ground, upper };

struct Command {
  std::string name;
  Floor floor;
  std::string help;
};

/// All commands in the order of commands.def.
std::span<const Command> commands();

/// A command of the program, with its line of help from commands.def. `example` is the line that
/// ends its --help.
CLI::App* add_command(CLI::App& program, const std::string& name, const std::string& example);

/// A command inside a command: the `inspect` of `guerdon data inspect`.
CLI::App* add_subcommand(CLI::App* command, const std::string& name, const std::string& help,
                         const std::string& example);

#define GUERDON_COMMAND(name, floor, help) void add_##name(CLI::App& program);
#include "cli/commands.def"
#undef GUERDON_COMMAND

}  // namespace guerdon::cli
