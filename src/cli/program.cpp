#include "cli/program.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <new>
#include <system_error>

#include "cli/console.h"
#include "cli/output.h"
#include "guerdon/base/log.h"
#include "guerdon/base/signals.h"
#include "guerdon/base/threads.h"
#include "guerdon/base/version.h"

namespace guerdon::cli {
namespace {

struct CommonFlags {
  int threads = 0;
  bool quiet = false;
  bool verbose = false;
};

/// The app that the command line got furthest into: `guerdon data inspect`, not `guerdon`.
CLI::App* innermost(CLI::App* app) {
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  return app;
}

std::string full_name(CLI::App* app) {
  return app->get_parent() ? full_name(app->get_parent()) + " " + app->get_name() : "guerdon";
}

std::vector<std::string> names_of_commands(CLI::App* app) {
  std::vector<std::string> out;
  for (CLI::App* command : app->get_subcommands([](CLI::App*) { return true; }))
    out.push_back(command->get_name());
  return out;
}

std::vector<std::string> names_of_flags(CLI::App* app) {
  std::vector<std::string> out;
  for (; app; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) out.push_back("--" + name);
    }
  }
  return out;
}

/// What CLI11 found wrong with the command line, as one of our errors.
Error usage_error(CLI::App& program, const CLI::ParseError& e) {
  CLI::App* app = innermost(&program);
  const std::string name = full_name(app);
  const std::string help = name + " --help shows what it takes";
  // What CLI11 could not place comes first: a misspelt --data also makes "--data is required",
  // which helps nobody.
  const bool incomplete =
      dynamic_cast<const CLI::ExtrasError*>(&e) || dynamic_cast<const CLI::RequiredError*>(&e);
  if (const std::vector<std::string> left = program.remaining(true); incomplete && !left.empty()) {
    const std::string& first = left.front();
    if (first.starts_with("-")) {
      const std::string flag = first.substr(0, first.find('='));
      return {Kind::settings, "flag " + flag,
              "no such flag of " + name + did_you_mean(flag, names_of_flags(app)), help};
    }
    const std::vector<std::string> commands = names_of_commands(app);
    const std::string what = commands.empty() ? " takes no argument " : " has no command ";
    return {Kind::settings, "command line",
            name + what + show(first) + did_you_mean(first, commands), help};
  }
  std::string what = e.what();
  // "--data is required", "--n: 1 required INT missing": the flag is the place.
  if (what.starts_with("-")) {
    const size_t end = what.find_first_of(": ");
    const std::string flag = what.substr(0, end);
    what = end == std::string::npos ? what : what.substr(what.find_first_not_of(": ", end));
    return {Kind::settings, "flag " + flag, what, help};
  }
  if (dynamic_cast<const CLI::RequiredError*>(&e) && !names_of_commands(app).empty())
    what = "a command is expected";
  return {Kind::settings, name, what, help};
}

std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

/// Any exception as one of ours.
Error as_error(const Half& half, const std::exception& e) {
  if (const auto* ours = dynamic_cast<const Error*>(&e)) return *ours;
  if (half.translate) {
    if (std::optional<Error> translated = half.translate(e)) return *translated;
  }
  if (dynamic_cast<const std::bad_alloc*>(&e))
    return {Kind::surroundings, "memory", "there is not enough of it"};
  if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&e)) {
    return {Kind::surroundings, file->path1().string(), file->code().message()};
  }
  if (const auto* system = dynamic_cast<const std::system_error*>(&e)) {
    return {Kind::surroundings, "system", system->code().message()};
  }
  return {Kind::bug, "unexpected", one_line(e.what()),
          "this is a fault of guerdon's own; please report it"};
}

/// A descriptor that is closed at the start would be given to the next file that is opened, and
/// results would be written into it. In its place stands one that refuses to be written (or read).
void occupy_standard_descriptors() {
  const int flags[3] = {O_WRONLY, O_RDONLY, O_WRONLY};
  for (int descriptor = 0; descriptor < 3; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) == -1 && errno == EBADF) {
      if (::open("/dev/null", flags[descriptor]) != descriptor) return;
    }
  }
}

}  // namespace

std::string command_in(const std::vector<std::string>& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--threads") {
      ++i;
    } else if (!arguments[i].starts_with("-")) {
      return arguments[i];
    }
  }
  return {};
}

void execute(const Half& half, const std::vector<std::string>& arguments) {
  CLI::App program(
      "guerdon " + version() + ": reward models, and language models aligned with them", "guerdon");
  program.require_subcommand(1, 1);
  program.get_formatter()->label("SUBCOMMAND", "COMMAND");
  program.fallthrough();
  program.set_version_flag("--version", "guerdon " + version());
  CommonFlags flags;
  program
      .add_option("--threads", flags.threads,
                  "Threads to compute with (default: one for each core)")
      ->check(CLI::Range(1, 4096));
  program.add_flag("--quiet", flags.quiet, "Only warnings and errors on standard error");
  program.add_flag("--verbose", flags.verbose, "Everything on standard error");
  program.footer(
      "\nguerdon COMMAND --help tells more, with an example.\nExample: guerdon run "
      "configs/recipes/quickstart.json");
  half.add_commands(program);

  program.parse_complete_callback([&] {
    if (flags.quiet) log::set_level(log::Level::warning);
    if (flags.verbose) log::set_level(log::Level::debug);
    Console::get().set_quiet(flags.quiet);
    if (flags.threads > 0) {
      set_thread_count(flags.threads);
      if (half.set_threads) half.set_threads(flags.threads);
    }
  });
  try {
    program.parse(std::vector<std::string>(arguments.rbegin(),
                                           arguments.rend()));  // CLI11 takes them from the back
  } catch (const CLI::CallForHelp&) {
    write_standard_output(program.help());
  } catch (const CLI::CallForVersion& e) {
    write_standard_output(std::string(e.what()) + "\n");
  } catch (const CLI::ParseError& e) {
    throw usage_error(program, e);
  }
}

void print_error(const Error& error) {
  const std::string what = one_line(error.what());
  Console::get().print(error.hint.empty()
                           ? "guerdon: error: " + what
                           : "guerdon: error: " + what + "\n  hint: " + one_line(error.hint));
}

int run(const Half& half, const std::function<int()>& action) noexcept {
  try {
    occupy_standard_descriptors();
    ::signal(SIGPIPE, SIG_IGN);  // a reader that went away is an error of `write`, not a death in
                                 // the middle of a step
    log::set_sink(Console::get().log_sink());
    try {
      const int code = action();
      // A loop that was asked to stop has ended well; the exit code tells who asked.
      return code == 0 && stop_signal() != 0 ? 128 + stop_signal() : code;
    } catch (const BrokenPipe&) {
      // Whoever read the results (`| head`) has seen enough: end the way every filter does.
      ::signal(SIGPIPE, SIG_DFL);
      ::raise(SIGPIPE);
      return 128 + SIGPIPE;
    } catch (const std::exception& e) {
      const Error error = as_error(half, e);
      print_error(error);
      return static_cast<int>(error.kind);
    }
  } catch (...) {
    // Not even the error could be told.
    constexpr char kText[] = "guerdon: error: unexpected: an unknown exception\n";
    if (::write(STDERR_FILENO, kText, sizeof kText - 1) < 0) return static_cast<int>(Kind::bug);
    return static_cast<int>(Kind::bug);
  }
}

}  // namespace guerdon::cli
