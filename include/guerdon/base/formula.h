/// Formulas as text, for `guerdon explain`: what stands in braces is a number of the settings.
///
///     symbols("-{1 - e} log sg({b} x)")                           -(1 - e) log sg(b x)
///     numbers("-{1 - e} log sg({b} x)", {{"1 - e", 0.9}, ...})    -0.9 log sg(0.1 x)
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace guerdon {

/// The formula as the paper has it: names with spaces in them in parentheses.
std::string symbols(std::string_view formula);

/// The formula with the numbers put in, negative ones in parentheses. Throws Error (Kind::bug) for
/// a name that `values` does not have.
std::string numbers(std::string_view formula, const std::map<std::string, double>& values);

}  // namespace guerdon
