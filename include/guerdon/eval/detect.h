/// A reward as a detector: do texts of one kind score above those of another? (ReMoDetect,
/// arXiv:2405.17382: rewards give aligned models' texts more than people's.)
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "guerdon/base/json_reader.h"
#include "guerdon/eval/items.h"
#include "guerdon/math/intervals.h"

namespace guerdon::eval {

/// A text of the kind that is looked for (label 1), or of the other (label 0).
struct LabelledText {
  std::string where;
  Example row;  ///< one response; none when the row holds scores alone
  bool positive = false;
  std::map<std::string, double> scores;  ///< by judge; "" where the row names none
};

/// Rows {"text" (or "completion", with or without a "prompt"), "label": 0, 1, true or false}, with
/// "score": number or "scores": {"JUDGE": number} where there are some. Throws Error (Kind::input)
/// at the row.
std::vector<LabelledText> read_labelled(const std::filesystem::path& file);

struct Detection {
  int64_t positives = 0, negatives = 0;
  double auroc = 0;               ///< ties count half
  math::Interval interval{0, 1};  ///< of auroc, 95 %, both kinds resampled
  double average_precision = 0;
  double found_at_1 = 0, found_at_5 = 0;  ///< share found with at most 1 % (5 %) false alarms
};

/// Throws Error (Kind::bug) when a kind has no texts.
Detection detect(std::span<const double> positives, std::span<const double> negatives,
                 const math::BootstrapOptions& options = {});

Json detection_json(const Detection& result);
std::string detection_text(const Detection& result);

}  // namespace guerdon::eval
