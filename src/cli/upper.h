/// The upper half for its own commands: a recipe runs other commands with `execute(upper_half(),
/// arguments)`.
#pragma once

#include "cli/program.h"

namespace guerdon::cli {

const Half& upper_half();

}  // namespace guerdon::cli
