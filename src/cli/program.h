/// Running the program: the same for both of its halves. Parses the command line, calls the
/// command, and turns whatever went wrong into one line on standard error and an exit code.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "guerdon/base/error.h"

namespace guerdon::cli {

/// What differs between the two halves.
struct Half {
  std::function<void(CLI::App&)> add_commands;
  /// --threads N, for the libraries that keep threads of their own.
  std::function<void(int)> set_threads = {};
  /// Exceptions of libraries that the shared code does not see (LibTorch's), as one of ours.
  std::function<std::optional<Error>(const std::exception&)> translate = {};
};

/// Runs the command that `arguments` (without the program's name) ask for; what goes wrong is
/// thrown. `guerdon run` calls it for the stages of a recipe.
void execute(const Half& half, const std::vector<std::string>& arguments);

/// The life of the process: prepares its surroundings (signals, standard descriptors, log), calls
/// `action`, and gives the exit code: that of `action`, or the kind of what it threw, after telling
/// it. Lets no exception escape.
int run(const Half& half, const std::function<int()>& action) noexcept;

/// Prints an error the way every guerdon error looks: "guerdon: error: PLACE: WHAT", then "  hint:
/// ..." when there is one.
void print_error(const Error& error);

/// The first argument that is a command's name rather than an option of the program, or "".
std::string command_in(const std::vector<std::string>& arguments);

}  // namespace guerdon::cli
