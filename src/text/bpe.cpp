#include "text/bpe.h"

#include <algorithm>
#include <array>

#include "guerdon/base/error.h"
#include "text/byte_level.h"
#include "text/unicode.h"

namespace guerdon::text {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
constexpr size_t kShortWord =
    48;  // symbols up to which looking for the lowest rank again and again is quicker than a heap

using Symbol = Workspace::Symbol;
using Candidate = Workspace::Candidate;

// std::push_heap keeps the largest on top: the lowest rank is to be there, the leftmost of equals.
bool later(const Candidate& a, const Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
}

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, SentencePiece's space

/// The end of the word that begins at `begin`: where a space mark follows another character.
size_t word_end(std::string_view text, size_t begin) {
  size_t at = begin;
  while (text.substr(at).starts_with(kSpaceMark)) at += kSpaceMark.size();
  return std::min(text.find(kSpaceMark, at), text.size());
}

void merge_short(const MergeTable& merges, std::vector<Symbol>& symbols) {
  std::array<MergeTable::Merge, kShortWord> pairs;  // pairs[i]: symbols i and i + 1
  size_t size = symbols.size();
  for (size_t i = 0; i + 1 < size; ++i) pairs[i] = merges.find(symbols[i].id, symbols[i + 1].id);
  while (size > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < size; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == MergeTable::kNever) break;
    symbols[best].id = pairs[best].id;
    symbols[best].length += symbols[best + 1].length;
    for (size_t i = best + 1; i + 1 < size; ++i) {
      symbols[i] = symbols[i + 1];
      pairs[i - 1] = pairs[i];
    }
    --size;
    if (best > 0) pairs[best - 1] = merges.find(symbols[best - 1].id, symbols[best].id);
    if (best + 1 < size) pairs[best] = merges.find(symbols[best].id, symbols[best + 1].id);
  }
  symbols.resize(size);
}

void merge_long(const MergeTable& merges, std::vector<Symbol>& symbols,
                std::vector<Candidate>& heap) {
  heap.clear();
  const auto consider = [&](int32_t left) {
    if (left < 0) return false;
    const Symbol& symbol = symbols[static_cast<size_t>(left)];
    if (symbol.next < 0) return false;
    const auto merge = merges.find(symbol.id, symbols[static_cast<size_t>(symbol.next)].id);
    if (merge.rank == MergeTable::kNever) return false;
    heap.push_back({merge.rank, left, merge.id});
    return true;
  };
  const auto size = static_cast<int32_t>(symbols.size());
  for (int32_t i = 0; i < size; ++i) {
    symbols[static_cast<size_t>(i)].previous = i - 1;
    symbols[static_cast<size_t>(i)].next = i + 1 < size ? i + 1 : -1;
  }
  for (int32_t i = 0; i < size; ++i) consider(i);
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Candidate top = heap.back();
    heap.pop_back();
    Symbol& left = symbols[static_cast<size_t>(top.left)];
    if (left.length == 0 || left.next < 0) continue;  // merged away since
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    const auto merge = merges.find(left.id, right.id);
    if (merge.rank != top.rank || merge.id != top.id) continue;  // one of the two has changed since
    left.id = merge.id;
    left.length += right.length;
    right.length = 0;
    left.next = right.next;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = top.left;
    if (consider(left.previous)) std::push_heap(heap.begin(), heap.end(), later);
    if (consider(top.left)) std::push_heap(heap.begin(), heap.end(), later);
  }
  std::erase_if(symbols, [](const Symbol& symbol) { return symbol.length == 0; });
}

/// Tokens whose places count the bytes of the word as the byte alphabet writes it get places that
/// count its own bytes. Only where a byte was left out do the two differ: as in the library, what
/// follows then moves up.
void to_byte_places(std::string_view word, std::vector<ModelToken>& tokens, size_t first) {
  std::vector<uint32_t> places;
  for (uint32_t i = 0; i < word.size(); ++i)
    places.insert(places.end(), byte_alphabet()[static_cast<unsigned char>(word[i])] < 0x80 ? 1 : 2,
                  i);
  for (size_t i = first; i < tokens.size(); ++i)
    tokens[i] = {tokens[i].id, places[tokens[i].begin], places[tokens[i].end - 1] + 1};
}

}  // namespace

void MergeTable::reserve(size_t merges) {
  size_t wanted = 64;
  while (wanted < 2 * merges) wanted *= 2;
  if (wanted <= slots_.size()) return;
  std::vector<Slot> old(wanted);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.pair != kFree) slots_[slot_of(slot.pair)] = slot;
  }
}

size_t MergeTable::slot_of(uint64_t pair) const {
  const size_t mask = slots_.size() - 1;
  uint64_t hash = pair * 0x9E3779B97F4A7C15;
  hash ^= hash >> 32;
  size_t slot = hash & mask;
  while (slots_[slot].pair != kFree && slots_[slot].pair != pair) slot = (slot + 1) & mask;
  return slot;
}

void MergeTable::add(uint32_t left, uint32_t right, Merge merge) {
  reserve(used_ + 1);
  const uint64_t pair = uint64_t{left} << 32 | right;
  Slot& slot = slots_[slot_of(pair)];
  if (slot.pair == kFree) ++used_;
  slot = {pair, merge};
}

MergeTable::Merge MergeTable::find(uint32_t left, uint32_t right) const {
  if (slots_.empty()) return {kNever, 0};
  return slots_[slot_of(uint64_t{left} << 32 | right)].merge;
}

void merge_symbols(const MergeTable& merges, Workspace& workspace,
                   std::vector<ModelToken>& tokens) {
  if (workspace.symbols.size() <= kShortWord) {
    merge_short(merges, workspace.symbols);
  } else {
    merge_long(merges, workspace.symbols, workspace.heap);
  }
  uint32_t at = 0;
  for (const Symbol& symbol : workspace.symbols) {
    tokens.push_back({symbol.id, at, at + symbol.length});
    at += symbol.length;
  }
}

Bpe::Bpe(Vocabulary vocabulary, MergeTable merges, BpeSettings settings)
    : vocabulary_(std::move(vocabulary)),
      merges_(std::move(merges)),
      settings_(std::move(settings)) {
  const size_t bytes = settings_.takes_bytes ? 256 : 128;
  id_of_byte_.assign(bytes, kNone);
  for (size_t byte = 0; byte < bytes; ++byte) {
    const auto c = static_cast<char>(byte);
    const std::string symbol =
        settings_.takes_bytes ? in_byte_alphabet(std::string_view(&c, 1)) : std::string(1, c);
    id_of_byte_[byte] = vocabulary_.find(symbol).value_or(kNone);
  }
  if (settings_.byte_fallback) {
    for (int byte = 0; byte < 256; ++byte)
      fallback_.push_back(vocabulary_.find(byte_token(byte)).value_or(kNone));
  }
  // Neighbouring words may be merged apart when no token holds the end of one and the beginning of
  // the next. (Where characters may be left out, the places in the whole piece are wanted.)
  cuts_at_spaces_ = !settings_.takes_bytes && settings_.continuing_prefix.empty() &&
                    settings_.end_suffix.empty() &&
                    (settings_.unknown || settings_.byte_fallback) &&
                    vocabulary_.find(kSpaceMark).has_value();
  for (int64_t id = 0; cuts_at_spaces_ && id < vocabulary_.id_end(); ++id) {
    const std::string_view token = vocabulary_.token(static_cast<uint32_t>(id));
    cuts_at_spaces_ = word_end(token, 0) == token.size();
  }
  if (settings_.ignore_merges && settings_.takes_bytes) {
    whole_.reserve(vocabulary_.size());
    for (int64_t id = 0; id < vocabulary_.id_end(); ++id) {
      const auto bytes_of_token = bytes_of(vocabulary_.token(static_cast<uint32_t>(id)));
      if (bytes_of_token && !bytes_of_token->empty())
        whole_.add(*bytes_of_token, static_cast<uint32_t>(id));
    }
  }
}

void Bpe::encode(std::string_view piece, Workspace& workspace,
                 std::vector<ModelToken>& tokens) const {
  const auto whole = settings_.ignore_merges
                         ? (settings_.takes_bytes ? whole_ : vocabulary_).find(piece)
                         : std::nullopt;
  if (whole) {
    tokens.push_back({*whole, 0, static_cast<uint32_t>(piece.size())});
    return;
  }
  if (!cuts_at_spaces_) return encode_word(piece, workspace, tokens);
  for (size_t begin = 0; begin < piece.size();) {
    const size_t end = word_end(piece, begin);
    const size_t first = tokens.size();
    encode_word(piece.substr(begin, end - begin), workspace, tokens);
    for (size_t i = first; i < tokens.size(); ++i) {
      tokens[i].begin += static_cast<uint32_t>(begin);
      tokens[i].end += static_cast<uint32_t>(begin);
    }
    begin = end;
  }
}

void Bpe::encode_word(std::string_view word, Workspace& workspace,
                      std::vector<ModelToken>& tokens) const {
  if (workspace.cache.find(word, tokens)) return;
  const size_t first = tokens.size();
  const bool dropped = split(word, workspace);
  if (dropped && settings_.takes_bytes) {
    for (Symbol& symbol : workspace.symbols)
      symbol.length = static_cast<uint32_t>(vocabulary_.token(symbol.id).size());
  }
  merge_symbols(merges_, workspace, tokens);
  if (dropped && settings_.takes_bytes) to_byte_places(word, tokens, first);
  workspace.cache.add(word, tokens, first);
}

// The symbols that merging begins with: characters (or bytes), with the prefix and suffix that mark
// places in a word. Without an unknown token what is unknown is left out.
bool Bpe::split(std::string_view word, Workspace& workspace) const {
  bool dropped = false;
  std::vector<Symbol>& symbols = workspace.symbols;
  symbols.clear();
  uint32_t unknown_length = 0;  // of the unknown symbol that is still open
  const auto add = [&](uint32_t id, size_t length) {
    symbols.push_back({id, static_cast<uint32_t>(length), -1, -1});
  };
  const auto close_unknown = [&] {
    if (unknown_length > 0) add(*settings_.unknown, unknown_length);
    unknown_length = 0;
  };
  const auto add_unknown = [&](size_t length) {
    if (!settings_.unknown) {
      dropped = true;
      return;
    }
    if (!settings_.fuse_unknown) close_unknown();
    unknown_length += static_cast<uint32_t>(length);
  };
  const bool plain = settings_.continuing_prefix.empty() && settings_.end_suffix.empty();
  for (size_t at = 0; at < word.size();) {
    const size_t begin = at;
    const auto byte = static_cast<unsigned char>(word[at]);
    uint32_t id = kNone;
    if (settings_.takes_bytes || (plain && byte < 0x80)) {
      id = id_of_byte_[byte];
      ++at;
      if (id == kNone && settings_.takes_bytes) {
        add_unknown(1);
        continue;
      }
    } else {
      unicode::next(word, at);
    }
    std::string marked;
    std::string_view symbol = word.substr(begin, at - begin);
    if (id == kNone && !plain) {
      marked = (begin > 0 ? settings_.continuing_prefix : "") + std::string(symbol) +
               (at == word.size() ? settings_.end_suffix : "");
      symbol = marked;
    }
    if (id == kNone) id = vocabulary_.find(symbol).value_or(kNone);
    if (id != kNone) {
      close_unknown();
      add(id, at - begin);
      continue;
    }
    const bool falls_back =
        settings_.byte_fallback && std::all_of(symbol.begin(), symbol.end(), [&](char c) {
          return fallback_[static_cast<unsigned char>(c)] != kNone;
        });
    if (falls_back) {
      for (const char c : symbol) add(fallback_[static_cast<unsigned char>(c)], 1);
    } else {
      add_unknown(at - begin);
    }
  }
  close_unknown();
  return dropped;
}

bool may_take_bytes(const Node& node) {
  return node.text_or("type", "") == "BPE" && !node.boolean_or("byte_fallback", false) &&
         node.text_or("continuing_subword_prefix", "").empty() &&
         node.text_or("end_of_word_suffix", "").empty();
}

std::unique_ptr<Model> read_bpe(const Node& node, bool takes_bytes) {
  const Node vocabulary_node = node["vocab"];
  Vocabulary vocabulary = read_vocabulary(vocabulary_node);
  BpeSettings settings{.continuing_prefix = node.text_or("continuing_subword_prefix", ""),
                       .end_suffix = node.text_or("end_of_word_suffix", ""),
                       .fuse_unknown = node.boolean_or("fuse_unk", false),
                       .byte_fallback = node.boolean_or("byte_fallback", false),
                       .ignore_merges = node.boolean_or("ignore_merges", false),
                       .takes_bytes = takes_bytes};
  if (node.has("unk_token")) {
    // Some files name one that the vocabulary lacks; that is an error only when it is needed, and
    // then the character is left out.
    settings.unknown = vocabulary.find(node["unk_token"].text());
  }
  const Node merges_node = node["merges"];
  if (!merges_node.json().is_array()) merges_node.fail("must be an array");
  MergeTable merges;
  merges.reserve(merges_node.json().size());
  uint32_t rank = 0;
  for (const Json& entry : merges_node.json()) {
    const auto where = [&] { return Node(entry, str(merges_node.where(), "[", rank, "]")); };
    std::string left, right;
    if (entry.is_string()) {
      const auto& text = entry.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
        where().fail(str("must be two tokens with a space between, got ", show(text)));
      left = text.substr(0, space);
      right = text.substr(space + 1);
    } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() &&
               entry[1].is_string()) {
      left = entry[0].get<std::string>();
      right = entry[1].get<std::string>();
    } else {
      where().fail("must be a string or an array of two strings");
    }
    const auto left_id = vocabulary.find(left), right_id = vocabulary.find(right);
    if (!left_id) where().fail(str("the vocabulary has no token ", show(left)));
    if (!right_id) where().fail(str("the vocabulary has no token ", show(right)));
    if (right.size() < settings.continuing_prefix.size())
      where().fail(str("token ", show(right), " lacks the prefix of continued words"));
    const std::string merged = left + right.substr(settings.continuing_prefix.size());
    const auto merged_id = vocabulary.find(merged);
    if (!merged_id)
      where().fail(str("the vocabulary has no token ", show(merged), ", which the merge makes"));
    merges.add(*left_id, *right_id, {rank, *merged_id});
    ++rank;
  }
  return std::make_unique<Bpe>(std::move(vocabulary), std::move(merges), std::move(settings));
}

std::string byte_token(int byte) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  return str("<0x", digits[static_cast<size_t>(byte) / 16], digits[static_cast<size_t>(byte) % 16],
             ">");
}

}  // namespace guerdon::text
