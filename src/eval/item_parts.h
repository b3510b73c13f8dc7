/// What the readers of benchmark rows share.
#pragma once

#include <string>
#include <vector>

#include "guerdon/eval/items.h"

namespace guerdon::eval {

/// An item with its id, its place and its subset.
Item begin_item(const Fields& row, const RowForm& form);
/// Whether the row holds scores.
bool has_scores(const Fields& row, const ItemOptions& options);
/// Judge to scores, in the order of the file. The judge that the row does not name is "".
std::map<std::string, std::vector<double>> scores_in_order(const Fields& row,
                                                           const std::string& reduction);
/// Reads the row's scores, which tell the number of candidates where the texts did not, and checks
/// the counts. `item.order` must stand.
void finish_item(Item& item, const Fields& row, const ItemOptions& options);
/// A column that holds one response or a list of them.
std::vector<Text> texts_of(const Fields& row, const std::string& name);
/// A prompt with its candidates, as rewards see it.
Example example_of(const Fields& row, Text prompt, std::vector<Text> candidates);

}  // namespace guerdon::eval
