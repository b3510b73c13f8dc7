/// The numbers of a row, beside its texts, that an objective reads.
#pragma once

#include <limits>
#include <string>

#include "guerdon/base/settings.h"

namespace guerdon::loss {

/// A field of the data, a number or true/false. The feed carries it to the loss as the column of
/// that name, whatever it means.
struct RowField {
  std::string name;
  double missing = std::numeric_limits<double>::quiet_NaN();  ///< its value where a row has none
  bool needed = false;  ///< a row without it is refused instead
  Allowed allowed = {};
};

}  // namespace guerdon::loss
