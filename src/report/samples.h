/// Completions as a table: what the model wrote at the first and at the last step, for the same
/// prompts. Private.
#pragma once

#include <vector>

#include "report/run_record.h"

namespace guerdon::report {

/// Prompts in the order of the file, none chosen by hand: those seen at the first and the last
/// logged step, or, when no prompt came twice, the rows of the first and of the last step one below
/// the other.
Html samples_table(const std::vector<Json>& rows);

}  // namespace guerdon::report
