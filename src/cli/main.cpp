/// `guerdon`: starts at once, does the ground-floor commands itself, and opens libguerdon_cli.so
/// for the others.
#include <dlfcn.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/program.h"
#include "guerdon/base/error.h"
#include "guerdon/base/version.h"

namespace guerdon::cli {
namespace {

namespace fs = std::filesystem;

/// The commands of the ground floor; of the others only name and help.
void add_commands(CLI::App& program) {
#define GUERDON_COMMAND(name, floor, help)                  \
  if constexpr (Floor::floor == Floor::ground) {            \
    add_##name(program);                                    \
  } else {                                                  \
    program.add_subcommand(#name, help)->group("Commands"); \
  }
#include "cli/commands.def"
#undef GUERDON_COMMAND
}

bool is_upper(const std::string& name) {
  for (const Command& command : commands()) {
    if (command.name == name) return command.floor == Floor::upper;
  }
  return false;
}

/// Opens the upper half and hands it the command line. It has a copy of everything of its own:
/// nothing but the arguments crosses.
int run_upper(int argc, char** argv) {
  // oneDNN keeps a compiled bfloat16 product, about half a MB, for each number of rows that it has
  // met, 1024 of them unless told: packed batches differ in length, and a run grew by gigabytes.
  for (const char* name : {"ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"})
    ::setenv(name, "256", /*overwrite=*/0);
  // OpenMP's threads spin for milliseconds when they wait, and on a machine with other work they
  // spin the time away that the thread they wait for needs: a step took 3 to 6 times as long. A
  // thousand turns cost an idle machine nothing.
  if (::getenv("OMP_WAIT_POLICY") == nullptr) ::setenv("GOMP_SPINCOUNT", "1000", /*overwrite=*/0);
  const std::string library = "libguerdon_cli.so";
  const fs::path program = fs::read_symlink("/proc/self/exe").parent_path();
  for (const fs::path& folder : {program / GUERDON_BIN_TO_LIB, program / ".." / "lib", program}) {
    if (!fs::exists(folder / library)) continue;
    const std::string file = (folder / library).lexically_normal().string();
    void* handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      fail_surroundings(
          file, str("cannot be loaded: ", ::dlerror()),
          "it needs the LibTorch that it was built with; scripts/setup.sh installs it");
    }
    using Entry = int(const char*, int, char**);
    const auto entry = reinterpret_cast<Entry*>(::dlsym(handle, "guerdon_cli_main"));
    if (!entry) fail_surroundings(file, "is not the upper half of guerdon " + version());
    return entry(version().c_str(), argc, argv);
  }
  fail_surroundings("guerdon",
                    library + " is not beside the program: this is a build without LibTorch",
                    "configure with -DGUERDON_WITH_TORCH=ON");
}

}  // namespace
}  // namespace guerdon::cli

int main(int argc, char** argv) {
  using namespace guerdon::cli;
  const Half ground{.add_commands = add_commands};
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  return run(ground, [&] {
    if (is_upper(command_in(arguments))) return run_upper(argc, argv);
    execute(ground, arguments);
    return 0;
  });
}
