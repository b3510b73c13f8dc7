/// Small dense linear systems.
#pragma once

#include <span>
#include <vector>

namespace guerdon::math {

/// x with A x = b, by LU decomposition with pivots: `a` [n, n] row by row, `b` [n]. Throws Error
/// (Kind::bug) when the sizes do not fit or A is singular within rounding.
std::vector<double> solve(std::span<const double> a, std::span<const double> b);

/// The x of least |A x - b|, and of these the shortest: `a` [m, n] row by row, `b` [m]. Throws
/// Error (Kind::bug) when the sizes do not fit.
std::vector<double> least_squares(std::span<const double> a, std::span<const double> b);

}  // namespace guerdon::math
