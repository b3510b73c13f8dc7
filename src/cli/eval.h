/// The commands inside `guerdon eval`, one file each.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "guerdon/base/json_reader.h"

namespace guerdon::cli {

void add_eval_reward(CLI::App* eval);
/// One command for each of eval::suites().
void add_eval_suites(CLI::App* eval);
void add_eval_calibration(CLI::App* eval);
void add_eval_best_of_n(CLI::App* eval);
void add_eval_distance(CLI::App* eval);
void add_eval_detect(CLI::App* eval);
void add_eval_agreement(CLI::App* eval);
void add_eval_probe(CLI::App* eval);

/// Where the result of an evaluation goes; the same options everywhere.
struct ResultArguments {
  std::string output;
  bool json = false;

  void add_to(CLI::App* command);
  /// Writes the result as JSON to the output file, and as JSON or text to standard output.
  void write(const Json& result, const std::string& text) const;
};

}  // namespace guerdon::cli
