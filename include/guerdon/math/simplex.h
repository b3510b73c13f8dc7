/// Weights that are not negative and add up to 1.
#pragma once

#include <span>
#include <vector>

namespace guerdon::math {

/// The weights w of n vectors v_i for which sum_i w_i v_i is shortest, from their products:
/// `products` [n, n] row by row, v_i . v_j. It is the direction along which every vector has a
/// positive part, where there is one: v . v_i >= |v|^2 (multiple gradient descent, Desideri 2012).
/// Exact but for rounding (Wolfe 1976, "Finding the nearest point in a polytope"). Throws Error
/// (Kind::bug) when the size is not n^2 > 0 or a product is not finite.
std::vector<double> shortest_mixture(std::span<const double> products);

}  // namespace guerdon::math
