#include "guerdon/base/version.h"

namespace guerdon {

std::string version() { return GUERDON_VERSION; }

}  // namespace guerdon
