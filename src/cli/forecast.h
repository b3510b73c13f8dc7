/// What `guerdon plan` and `guerdon train --dry-run` print of a run to come.
#pragma once

#include <string>

#include "guerdon/base/json_reader.h"
#include "guerdon/train/trainer.h"

namespace guerdon::cli {

/// Models and rows: lines of text.
std::string forecast_text(const train::Forecast& forecast);
/// "memory    1.2 GiB at the peak (forward and backward), of 23.5 GiB\n"
std::string memory_line(const train::Forecast& forecast);
/// The phases as a table, the largest one marked.
std::string memory_table(const train::MemoryPlan& plan);

Json forecast_json(const train::Forecast& forecast);

/// Bytes of "8GiB", "512 MiB", "6e9", "16GB". Throws Error (Kind::settings) at `where`.
int64_t bytes_of_text(const std::string& text, const std::string& where);

}  // namespace guerdon::cli
