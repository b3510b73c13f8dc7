#include "text/vocabulary.h"

#include <cstring>

#include "guerdon/base/error.h"

namespace guerdon::text {

uint64_t hash_of(std::string_view text) {
  constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;
  uint64_t hash = text.size() * kMultiplier;
  const char* at = text.data();
  size_t left = text.size();
  const auto mix = [&](uint64_t word) {
    hash = (hash ^ word) * kMultiplier;
    hash ^= hash >> 32;
  };
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    mix(word);
  }
  if (left > 0) {
    uint64_t word = 0;
    std::memcpy(&word, at, left);
    mix(word);
  }
  return hash;
}

uint32_t read_id(const Node& node) {
  const int64_t id = node.integer();
  if (id < 0 || id > kMaxId) node.fail(str("ids must lie in [0, ", kMaxId, "], got ", id));
  return static_cast<uint32_t>(id);
}

size_t Vocabulary::slot_of(std::string_view token) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = hash_of(token) & mask;
  while (slots_[slot] != 0 && text(entries_[slots_[slot] - 1]) != token) slot = (slot + 1) & mask;
  return slot;
}

void Vocabulary::reserve(size_t tokens) {
  size_t wanted = 64;
  while (wanted < 2 * tokens) wanted *= 2;
  if (wanted <= slots_.size()) return;
  slots_.assign(wanted, 0);
  for (size_t i = 0; i < entries_.size(); ++i)
    slots_[slot_of(text(entries_[i]))] = static_cast<uint32_t>(i + 1);
}

bool Vocabulary::add(std::string_view token, uint32_t id) {
  if (has(id)) return false;
  reserve(entries_.size() + 1);
  const size_t slot = slot_of(token);
  if (slots_[slot] != 0) return false;
  entries_.push_back({bytes_.size(), static_cast<uint32_t>(token.size()), id});
  bytes_ += token;
  slots_[slot] = static_cast<uint32_t>(entries_.size());
  if (id >= entry_of_id_.size()) entry_of_id_.resize(id + 1);
  entry_of_id_[id] = static_cast<uint32_t>(entries_.size());
  return true;
}

void Vocabulary::add_again(std::string_view token, uint32_t id) {
  const uint32_t known = slots_[slot_of(token)];
  GUERDON_CHECK(known != 0 && !has(id), "a string can get a second id only when it has a first");
  entries_.push_back({entries_[known - 1].begin, entries_[known - 1].length, id});
  slots_[slot_of(token)] = static_cast<uint32_t>(entries_.size());
  if (id >= entry_of_id_.size()) entry_of_id_.resize(id + 1);
  entry_of_id_[id] = static_cast<uint32_t>(entries_.size());
}

std::optional<uint32_t> Vocabulary::find(std::string_view token) const {
  if (slots_.empty()) return std::nullopt;
  const uint32_t entry = slots_[slot_of(token)];
  if (entry == 0) return std::nullopt;
  return entries_[entry - 1].id;
}

std::string_view Vocabulary::token(uint32_t id) const {
  return has(id) ? text(entries_[entry_of_id_[id] - 1]) : std::string_view();
}

Vocabulary read_vocabulary(const Node& node) {
  if (!node.json().is_object()) node.fail("must be an object of tokens and ids");
  Vocabulary vocabulary;
  vocabulary.reserve(node.json().size());
  for (const auto& [token, id] : node.json().items()) {
    const Node entry(id, node.where() + "[" + show(token) + "]");
    if (token.size() > kMaxTokenBytes)
      entry.fail(str("the token is longer than ", kMaxTokenBytes, " bytes"));
    const uint32_t number = read_id(entry);
    if (vocabulary.has(number))
      entry.fail(str("id ", number, " is taken by ", show(vocabulary.token(number))));
    vocabulary.add(token, number);
  }
  return vocabulary;
}

}  // namespace guerdon::text
