/// `guerdon report`: a page about a run, or about all stages of a recipe.
#include <filesystem>
#include <memory>

#include "cli/commands.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/report/run_report.h"

namespace guerdon::cli {

void add_report(CLI::App& program) {
  struct Arguments {
    std::string run, output;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = add_command(program, "report", "guerdon report runs/quickstart");
  command->add_option("RUN", arguments->run, "Run folder, or the folder of a recipe")->required();
  command->add_option("-o,--output", arguments->output,
                      "The page (default: RUN/report.html; - for standard output)");
  command->callback([arguments] {
    const std::string page = report::run_report(arguments->run);
    const std::string file = arguments->output.empty()
                                 ? (std::filesystem::path(arguments->run) / "report.html").string()
                                 : arguments->output;
    Output output(file);
    output.write(page);
    output.close();
    if (file != "-") log::info(str("wrote ", file));
  });
}

}  // namespace guerdon::cli
