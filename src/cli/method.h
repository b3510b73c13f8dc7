/// METHOD --config FILE KEY=VALUE ..., which several commands take.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "guerdon/base/json_reader.h"

namespace guerdon::cli {

struct MethodArguments {
  std::string method, config;
  std::vector<std::string> overrides;

  /// The file's settings (none without a file) with the overrides put in.
  Json settings() const;
  /// What errors call them: the file's name.
  std::string where() const { return config.empty() ? "settings" : config; }
};

/// The arguments must outlive the command.
void add_method(CLI::App& command, MethodArguments& arguments);

}  // namespace guerdon::cli
