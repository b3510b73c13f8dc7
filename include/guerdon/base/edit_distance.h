/// How far two sequences are apart.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace guerdon {

/// Levenshtein's distance: the least number of insertions, deletions and replacements of elements
/// that turn `a` into `b`. Any two sequences with size() and []; time size(a) x size(b).
template <class Sequence>
size_t edit_distance(const Sequence& a, const Sequence& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace guerdon
