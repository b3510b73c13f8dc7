/// How strongly a pair is preferred, by an ensemble of judges (Secrets of RLHF II,
/// arXiv:2401.06080).
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace guerdon::data {

/// Of the differences d = chosen - rejected that the members give to one pair: their mean, and
/// their standard deviation with divisor n. Throws Error (Kind::bug) when there are none.
struct Strength {
  double mean = 0, deviation = 0;
};
Strength strength_of(std::span<const double> differences);

/// What a table of `guerdon score` over pairs says: the differences of each pair, [pairs][members].
/// `members` names the components that are members; empty: those called "member0", "member1", ...
/// ("rm/member0" too) where there are some, else the total alone. Throws Error (Kind::input) at the
/// row for what is no such table, or has no score.
std::vector<std::vector<double>> read_differences(const std::filesystem::path& scores,
                                                  const std::vector<std::string>& members = {});

}  // namespace guerdon::data
