/// What the offline methods share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "guerdon/data/truncation.h"

namespace guerdon::train {

/// max_length and truncation_mode as one function of a row.
class TruncationRule {
 public:
  TruncationRule(std::optional<int64_t> max_length, const std::string& mode,
                 const std::string& where)
      : max_length_(max_length), mode_(data::truncation_mode(mode, where)) {}

  template <class Row>
  data::Cut operator()(Row& row) const {
    return max_length_ ? data::truncate(row, *max_length_, mode_) : data::Cut::whole;
  }

 private:
  std::optional<int64_t> max_length_;
  data::TruncationMode mode_;
};

inline std::vector<std::string> truncation_modes() {
  return {"filter", "keep_start", "keep_end", "prompt_left"};
}

}  // namespace guerdon::train
