#pragma once

#include <string>

namespace guerdon {

/// "0.1.0".
std::string version();

}  // namespace guerdon
