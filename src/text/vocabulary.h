/// Strings and their ids.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/node.h"

namespace guerdon::text {

inline constexpr int64_t kMaxId = int64_t{1} << 24;
/// Longest entry, in bytes: bounds the work for each position of a text.
inline constexpr size_t kMaxTokenBytes = 4096;

/// A hash that is quick for the short strings of a vocabulary.
uint64_t hash_of(std::string_view text);

/// An id from a file: 0 to 2^24, else Error (Kind::input).
uint32_t read_id(const Node& node);

/// Unique strings with unique ids; ids may have gaps.
class Vocabulary {
 public:
  /// False when the string or the id is there already.
  bool add(std::string_view token, uint32_t id);
  /// One more id for a string that is there; it is the one that find() gives from now on.
  void add_again(std::string_view token, uint32_t id);
  void reserve(size_t tokens);

  std::optional<uint32_t> find(std::string_view token) const;
  bool has(uint32_t id) const { return id < entry_of_id_.size() && entry_of_id_[id] != 0; }
  /// The string of an id; "" for a gap.
  std::string_view token(uint32_t id) const;
  size_t size() const { return entries_.size(); }
  /// Largest id + 1.
  int64_t id_end() const { return static_cast<int64_t>(entry_of_id_.size()); }

 private:
  struct Entry {
    size_t begin;
    uint32_t length, id;
  };
  std::string_view text(const Entry& entry) const {
    return std::string_view(bytes_).substr(entry.begin, entry.length);
  }
  size_t slot_of(std::string_view token) const;
  void grow();

  std::string bytes_;  // all strings, end to end
  std::vector<Entry> entries_;
  std::vector<uint32_t> slots_;        // open addressing: entry + 1, or 0
  std::vector<uint32_t> entry_of_id_;  // entry + 1, or 0
};

/// The object {"token": id, ...}. Throws Error (Kind::input) that names the token.
Vocabulary read_vocabulary(const Node& node);

}  // namespace guerdon::text
