/// Solutions in steps, as process reward models read them: one beginning of the solution for each.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace guerdon::data {

/// The beginnings of a text that end where a step ends: before each separator, and at the end.
/// Steps without a character are none. Separators at the end of a beginning are left out.
std::vector<std::string> step_beginnings(const std::string& text, const std::string& separator);

/// The same of steps that are given, one each: they are joined by the separator, where neither the
/// one ends nor the next begins with it.
std::vector<std::string> step_beginnings(std::span<const std::string> steps,
                                         const std::string& separator);

}  // namespace guerdon::data
