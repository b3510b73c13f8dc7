/// The upper half of the program, libguerdon_cli.so: the commands that need tensors. `guerdon`
/// opens it and calls guerdon_cli_main. It also has the ground-floor commands, so that a recipe can
/// run them without another process.
#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include <cstring>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/program.h"
#include "cli/upper.h"
#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/base/version.h"

namespace guerdon::cli {
namespace {

void add_commands(CLI::App& program) {
#define GUERDON_COMMAND(name, floor, help) add_##name(program);
#include "cli/commands.def"
#undef GUERDON_COMMAND
}

/// LibTorch's errors are told in a sentence of ours; their own text goes to the log.
std::optional<Error> translate(const std::exception& e) {
  const auto* torch = dynamic_cast<const c10::Error*>(&e);
  if (!torch) return std::nullopt;
  const std::string text = torch->what_without_backtrace();
  log::debug(str("LibTorch: ", torch->what()));
  const bool memory = dynamic_cast<const c10::OutOfMemoryError*>(torch) ||
                      text.find("not enough memory") != std::string::npos ||
                      text.find("can't allocate memory") != std::string::npos;
  if (memory) {
    return Error(Kind::surroundings, "memory", "there is not enough of it",
                 "guerdon plan tells what a run needs; a smaller per_device_train_batch_size or "
                 "max_length needs less");
  }
  return Error(Kind::bug, "tensors", "LibTorch refused an operation (--verbose shows its words)",
               "this is a fault of guerdon's own; please report it");
}

}  // namespace

const Half& upper_half() {
  static const Half half{.add_commands = add_commands,
                         .set_threads = [](int count) { at::set_num_threads(count); },
                         .translate = translate};
  return half;
}

}  // namespace guerdon::cli

/// `program_version`: of the program that opened this library; the two must be of one build.
extern "C" __attribute__((visibility("default"))) int guerdon_cli_main(const char* program_version,
                                                                       int argc, char** argv) {
  using namespace guerdon::cli;
  return run(upper_half(), [&] {
    if (program_version != guerdon::version()) {
      guerdon::fail_surroundings("libguerdon_cli.so", "is of guerdon " + guerdon::version() +
                                                          ", the program of " + program_version);
    }
    execute(upper_half(), std::vector<std::string>(argv + 1, argv + argc));
    return 0;
  });
}
