#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace guerdon::text {

/// Byte strings with values, walked byte by byte. Immutable.
class Trie {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kRoot = 0;

  using Entries = std::vector<std::pair<std::string_view, uint32_t>>;

  Trie() : Trie(Entries{}) {}
  /// Of two equal strings the later one counts; empty strings are left out. The views need not
  /// outlive the call.
  explicit Trie(Entries entries);

  /// The node behind `node` and a byte, or kNone.
  uint32_t step(uint32_t node, char byte) const {
    if (node == kRoot) return first_[static_cast<unsigned char>(byte)];
    const Node& at = nodes_[node];
    for (uint32_t i = at.children; i < at.children + at.count; ++i) {
      if (labels_[i] == byte) return i;
    }
    return kNone;
  }
  /// The value of the string that ends at a node, or kNone.
  uint32_t value(uint32_t node) const { return nodes_[node].value; }
  /// The longest string that `text` begins with: its length (0: none) and value.
  std::pair<size_t, uint32_t> longest(std::string_view text, uint32_t from = kRoot) const;

 private:
  struct Node {
    uint32_t children = 0,
             count = 0;  // nodes [children, children + count), in the order of their labels
    uint32_t value = kNone;
  };
  std::vector<Node> nodes_;
  std::vector<char> labels_;           // the byte that leads to each node
  std::array<uint32_t, 256> first_{};  // the root's children
};

}  // namespace guerdon::text
