#include "text/trie.h"

#include <algorithm>

namespace guerdon::text {

Trie::Trie(Entries entries) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  struct Span {
    size_t begin, end, depth;  // the entries below a node, and how many bytes lead to it
  };
  // Breadth first, so that the children of a node lie together.
  std::vector<Span> spans = {{0, entries.size(), 0}};
  nodes_.emplace_back();
  labels_.push_back('\0');
  for (size_t node = 0; node < nodes_.size(); ++node) {
    auto [begin, end, depth] = spans[node];
    for (; begin < end && entries[begin].first.size() == depth; ++begin) {
      if (depth > 0) nodes_[node].value = entries[begin].second;
    }
    nodes_[node].children = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      const char label = entries[begin].first[depth];
      size_t same = begin;
      while (same < end && entries[same].first[depth] == label) ++same;
      nodes_.emplace_back();
      labels_.push_back(label);
      spans.push_back({begin, same, depth + 1});
      begin = same;
    }
    nodes_[node].count = static_cast<uint32_t>(nodes_.size()) - nodes_[node].children;
  }
  first_.fill(kNone);
  for (uint32_t i = nodes_[kRoot].children; i < nodes_[kRoot].children + nodes_[kRoot].count; ++i)
    first_[static_cast<unsigned char>(labels_[i])] = i;
}

std::pair<size_t, uint32_t> Trie::longest(std::string_view text, uint32_t from) const {
  std::pair<size_t, uint32_t> best{0, kNone};
  uint32_t node = from;
  for (size_t i = 0; i < text.size(); ++i) {
    node = step(node, text[i]);
    if (node == kNone) break;
    if (value(node) != kNone) best = {i + 1, value(node)};
  }
  return best;
}

}  // namespace guerdon::text
