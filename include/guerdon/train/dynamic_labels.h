/// Labels that follow what the model believes, by row.
#pragma once

#include <map>
#include <string>

#include "guerdon/base/plain_parts.h"
#include "guerdon/model/batch.h"

namespace guerdon::train {

/// A label for each pair that was seen, kept by Example::id: rows that are the same share theirs.
/// Moves of a step count once it is done; those of a step that was skipped are dropped.
class DynamicLabels {
 public:
  /// Adds the column "label", NaN for pairs that are new, and drops moves that were not committed.
  void begin_step(Batch& batch);
  /// What the labels of a part's pairs are to become, [pairs].
  void propose(const Batch& part, const Tensor& labels);
  void commit();
  void parts(PlainParts& parts) { parts.rows("labels", labels_); }

 private:
  std::map<std::string, double> labels_, proposed_;
};

}  // namespace guerdon::train
