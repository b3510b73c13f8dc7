#pragma once

#include <string>

#include "guerdon/base/json_reader.h"

namespace guerdon {

/// A YAML text as JSON: plain scalars become what YAML 1.2's core schema says (null, true, false,
/// numbers), quoted ones stay strings. Anchors and aliases are followed; keys must be scalars and
/// must not repeat. Throws Error (Kind::settings).
Json parse_yaml(const std::string& text, const std::string& where);

}  // namespace guerdon
