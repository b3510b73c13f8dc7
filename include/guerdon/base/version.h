#pragma once

#include <string>
#include <vector>

namespace guerdon {

/// "0.1.0".
std::string version();

/// What a build may have or lack.
struct OptionalPart {
  std::string name;  ///< "yaml"
  bool present;
  std::string purpose;  ///< what it is for, and what brings it
};
std::vector<OptionalPart> optional_parts();

/// "GCC 12.2.0".
std::string compiler();

}  // namespace guerdon
