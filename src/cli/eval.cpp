/// `guerdon eval`: how good a judge is.
#include "cli/eval.h"

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/output.h"

namespace guerdon::cli {

void ResultArguments::add_to(CLI::App* command) {
  command->add_option("-o,--output", output,
                      "The result as JSON; in a run folder as result.json the report shows it");
  command->add_flag("--json", json, "JSON on standard output");
}

void ResultArguments::write(const Json& result, const std::string& text) const {
  if (!output.empty()) {
    Output file(output);
    file.write(result.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    file.close();
  }
  write_standard_output(json ? result.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"
                             : text);
}

void add_eval(CLI::App& program) {
  CLI::App* command =
      add_command(program, "eval", "guerdon eval reward --model runs/rm --data pairs_eval.jsonl");
  command->require_subcommand(1);
  add_eval_reward(command);
  add_eval_suites(command);
  add_eval_calibration(command);
  add_eval_best_of_n(command);
  add_eval_distance(command);
  add_eval_detect(command);
  add_eval_agreement(command);
  add_eval_probe(command);
}

}  // namespace guerdon::cli
