#include "cli/method.h"

#include <nlohmann/json.hpp>

#include "guerdon/train/trainer.h"

namespace guerdon::cli {

Json MethodArguments::settings() const {
  const auto trainer = train::method(method).make();
  Json settings = config.empty() ? Json::object() : read_settings(config);
  override_settings(trainer->settings(), settings, overrides);
  return settings;
}

void add_method(CLI::App& command, MethodArguments& arguments) {
  std::string names;
  for (const train::Method& m : train::methods()) names += (names.empty() ? "" : ", ") + m.name;
  command.add_option("METHOD", arguments.method, "One of " + names)->required();
  command.add_option("SETTINGS", arguments.overrides, "KEY=VALUE, after those of the file");
  command.add_option("--config", arguments.config,
                     "Settings: JSON with comments, or YAML (guerdon config METHOD writes one)");
}

}  // namespace guerdon::cli
