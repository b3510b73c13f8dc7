/// What `guerdon eval rewardbench` and its like, and `eval best-of-n`, wrote into result.json.
/// Private to the room.
#pragma once

#include "guerdon/base/json_reader.h"
#include "guerdon/report/html.h"

namespace guerdon::report {

/// Whether the result has models, as these commands write them.
bool has_models(const Json& result);

/// The rows that the judge has wrong by the most, with their texts; nothing where there are none.
/// `result` is that of `eval reward`, or one of the models.
Html worst_rows(const Json& result);

/// Scores with intervals, the heat map of subsets, comparisons, curves of best of n, and the rows
/// that the first model has wrong by the most. Nothing in the file is trusted to have its type.
Html benchmark_result(const Json& result);

}  // namespace guerdon::report
