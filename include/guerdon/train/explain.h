/// What a method computes under its settings, in words and formulas: `guerdon explain`. Each method
/// says it beside its loss: `Explanation explanation_of(const DpoSettings&, where)` in
/// src/train/dpo.cpp.
#pragma once

#include <string>
#include <vector>

#include "guerdon/base/settings.h"
#include "guerdon/train/settings.h"

namespace guerdon::train {

struct Section {
  std::string title;  ///< "loss of a pair"
  std::vector<std::string> lines;
};
using Explanation = std::vector<Section>;

/// How the step's gradient moves the weights, which all methods share. `unit`: what
/// per_device_train_batch_size counts, "pairs".
Section explain_step(const TrainSettings& settings, const std::string& unit);

/// The settings of these names with their present values and their help.
Section explain_settings(const SettingList& list, const std::vector<std::string>& names);

/// "8 x 4 = 32": rows of an optimizer step.
std::string rows_of_step(const TrainSettings& settings);

/// As `guerdon explain` prints it: titles, and lines below them.
std::string text_of(const Explanation& explanation);

}  // namespace guerdon::train
