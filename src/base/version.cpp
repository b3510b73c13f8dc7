#include "guerdon/base/version.h"

namespace guerdon {

std::string version() { return GUERDON_VERSION; }

std::vector<OptionalPart> optional_parts() {
  return {
      {"yaml", GUERDON_WITH_YAML != 0, "settings in YAML (libyaml-cpp-dev)"},
  };
}

std::string compiler() {
#ifdef __clang__
  return "clang " __clang_version__;
#else
  return "GCC " __VERSION__;
#endif
}

}  // namespace guerdon
