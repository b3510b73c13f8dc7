/// `guerdon config`: a settings file with every setting of a method.
#include "cli/commands.h"
#include "cli/output.h"
#include "guerdon/train/trainer.h"

namespace guerdon::cli {

void add_config(CLI::App& program) {
  auto name = std::make_shared<std::string>();
  auto output = std::make_shared<std::string>("-");
  CLI::App* command = add_command(program, "config", "guerdon config dpo > dpo.json");
  command->add_option("METHOD", *name, "As in guerdon train METHOD")->required();
  command->add_option("-o,--output", *output, "Where the file goes");
  command->callback([name, output] {
    Output file(*output);
    file.write(train::settings_template(*name));
    file.close();
  });
}

}  // namespace guerdon::cli
