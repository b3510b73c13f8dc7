/// The commands inside `guerdon model` that have files of their own.
#pragma once

#include <CLI/CLI.hpp>

namespace guerdon::cli {

void add_model_new(CLI::App* model);
void add_model_combine(CLI::App* model);

}  // namespace guerdon::cli
