/// `guerdon rewards`: what "use" may say in a reward, with the settings of each kind.
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/output.h"
#include "guerdon/reward/registry.h"

namespace guerdon::cli {
namespace {

void run_rewards(bool json) {
  for (const RewardKind* kind : reward_kinds()) {
    const SettingList settings = kind->settings();
    if (json) {
      const Json line{
          {"use", kind->name}, {"help", kind->help}, {"settings", settings_json(settings)}};
      write_standard_output(line.dump() + "\n");
      continue;
    }
    std::string text = kind->name + ": " + kind->help + "\n";
    const std::string help = settings_help(settings);
    for (size_t at = 0, end; at < help.size(); at = end + 1) {
      end = std::min(help.find('\n', at), help.size());
      text += "    " + help.substr(at, end - at) + "\n";
    }
    write_standard_output(text);
  }
}

}  // namespace

void add_rewards(CLI::App& program) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = add_command(program, "rewards", "guerdon rewards");
  command->add_flag("--json", *json, "One JSON object a line");
  command->callback([json] { run_rewards(*json); });
}

}  // namespace guerdon::cli
