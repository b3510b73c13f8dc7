#include "guerdon/base/version.h"

#include "cli/commands.h"
#include "cli/output.h"

namespace guerdon::cli {

void add_version(CLI::App& program) {
  add_command(program, "version", "guerdon version")->callback([] {
    write_standard_output(version() + "\n");
  });
}

}  // namespace guerdon::cli
