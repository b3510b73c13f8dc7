// Learning a byte-level BPE. Each distinct word is kept once with its count; the counts of pairs
// are kept up to date as words change, and the next pair comes from a heap whose entries may be
// stale: the work is about that of changing each word once for each merge that touches it.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "guerdon/base/error.h"
#include "guerdon/base/utf8.h"
#include "guerdon/text/tokenizer.h"
#include "text/byte_level.h"
#include "text/vocabulary.h"

namespace guerdon::text {
namespace {

constexpr int64_t kBytes = 256;

struct Word {
  std::vector<uint32_t> symbols;
  int64_t count;
};

uint64_t pair_of(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }

struct PairState {
  int64_t count = 0;
  std::unordered_set<uint32_t> words;  // where it may stand
};

struct Candidate {
  int64_t count;
  uint64_t pair;
};

/// The heap's order: the highest count first, of equals the smaller pair of ids.
bool later(const Candidate& a, const Candidate& b) {
  return a.count != b.count ? a.count < b.count : a.pair > b.pair;
}

/// The distinct words of the texts as symbols of single bytes, in order of first appearance.
std::vector<Word> words_of(std::span<const std::string> texts, uint32_t first_byte) {
  std::vector<Word> words;
  std::unordered_map<std::string_view, size_t> index;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (!is_utf8(texts[i])) fail_input(str("text ", i + 1), "is not UTF-8");
    const std::string_view text = texts[i];
    for (size_t at = 0; at < text.size();) {
      const std::string_view word = text.substr(at, gpt2_word(text.substr(at)));
      const auto [known, added] = index.emplace(word, words.size());
      if (added) {
        words.push_back({{}, 0});
        for (const char byte : word)
          words.back().symbols.push_back(first_byte + static_cast<unsigned char>(byte));
      }
      ++words[known->second].count;
      at += word.size();
    }
  }
  return words;
}

class Trainer {
 public:
  Trainer(std::vector<Word> words, int64_t min_frequency)
      : words_(std::move(words)), min_frequency_(min_frequency) {
    std::vector<uint64_t> pairs;
    for (uint32_t w = 0; w < words_.size(); ++w) count(w, 1, pairs);
    for (const auto& [pair, state] : pairs_) heap_.push_back({state.count, pair});
    std::make_heap(heap_.begin(), heap_.end(), later);
  }

  /// The pair to be merged next, or nothing when none is frequent enough.
  std::optional<std::pair<uint32_t, uint32_t>> next() {
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), later);
      const Candidate top = heap_.back();
      heap_.pop_back();
      const auto state = pairs_.find(top.pair);
      if (state == pairs_.end() || state->second.count != top.count)
        continue;  // stale; a newer entry exists
      if (top.count < std::max<int64_t>(min_frequency_, 1)) return std::nullopt;
      return std::pair(static_cast<uint32_t>(top.pair >> 32), static_cast<uint32_t>(top.pair));
    }
    return std::nullopt;
  }

  void merge(uint32_t left, uint32_t right, uint32_t id) {
    const auto state = pairs_.find(pair_of(left, right));
    const std::vector<uint32_t> touched(state->second.words.begin(), state->second.words.end());
    std::vector<uint64_t> changed;
    for (const uint32_t w : touched) {
      std::vector<uint32_t>& symbols = words_[w].symbols;
      const auto found =
          std::adjacent_find(symbols.begin(), symbols.end(),
                             [&](uint32_t a, uint32_t b) { return a == left && b == right; });
      if (found == symbols.end()) continue;
      count(w, -1, changed);
      size_t out = 0;
      for (size_t i = 0; i < symbols.size(); ++i) {
        if (i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right) {
          symbols[out++] = id;
          ++i;
        } else {
          symbols[out++] = symbols[i];
        }
      }
      symbols.resize(out);
      count(w, 1, changed);
    }
    pairs_.erase(pair_of(left, right));
    std::sort(changed.begin(), changed.end());
    changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
    for (const uint64_t pair : changed) {
      const auto at = pairs_.find(pair);
      if (at == pairs_.end() || at->second.count <= 0) continue;
      heap_.push_back({at->second.count, pair});
      std::push_heap(heap_.begin(), heap_.end(), later);
    }
  }

  /// The pair is never to be merged.
  void forget(uint32_t left, uint32_t right) { pairs_.erase(pair_of(left, right)); }

 private:
  /// Adds `sign` times the word's pairs to the counts, and names the pairs in `changed`.
  void count(uint32_t w, int64_t sign, std::vector<uint64_t>& changed) {
    const Word& word = words_[w];
    for (size_t i = 0; i + 1 < word.symbols.size(); ++i) {
      const uint64_t pair = pair_of(word.symbols[i], word.symbols[i + 1]);
      PairState& state = pairs_[pair];
      state.count += sign * word.count;
      if (sign > 0) state.words.insert(w);
      changed.push_back(pair);
    }
  }

  std::vector<Word> words_;
  int64_t min_frequency_;
  std::unordered_map<uint64_t, PairState> pairs_;
  std::vector<Candidate> heap_;
};

void check(const BpeTraining& options) {
  const auto special = static_cast<int64_t>(options.special_tokens.size());
  if (options.vocabulary_size < special + kBytes || options.vocabulary_size > kMaxId)
    fail_settings("vocabulary_size", str("must lie in [", special + kBytes, ", ", kMaxId, "] (",
                                         special, " special tokens and ", kBytes,
                                         " bytes are in it), got ", options.vocabulary_size));
  std::unordered_set<std::string> seen;
  for (const std::string& token : options.special_tokens) {
    if (token.empty() || !is_utf8(token))
      fail_settings("special_tokens", "a special token is empty or not UTF-8");
    if (!seen.insert(token).second)
      fail_settings("special_tokens", str(show(token), " is there twice"));
    if (bytes_of(token) && bytes_of(token)->size() == 1)
      fail_settings("special_tokens", str(show(token), " is the name of a byte"));
  }
}

}  // namespace

std::string train_bpe(std::span<const std::string> texts, const BpeTraining& options) {
  check(options);
  const auto first_byte = static_cast<uint32_t>(options.special_tokens.size());
  std::vector<std::string> tokens = options.special_tokens;
  std::unordered_set<std::string> taken(tokens.begin(), tokens.end());
  for (const char32_t c : byte_alphabet()) {
    tokens.emplace_back();
    utf8_append(tokens.back(), c);
  }
  Trainer trainer(words_of(texts, first_byte), options.min_frequency);
  Json merges = Json::array();
  while (static_cast<int64_t>(tokens.size()) < options.vocabulary_size) {
    const auto pair = trainer.next();
    if (!pair) break;
    const auto [left, right] = *pair;
    std::string merged = tokens[left] + tokens[right];
    // Two ways to make the same token share its id; a special token of that name keeps its own, and
    // the pair stays apart.
    const auto known =
        taken.contains(merged) ? std::find(tokens.begin(), tokens.end(), merged) : tokens.end();
    const auto id = static_cast<uint32_t>(known - tokens.begin());
    if (id < first_byte) {
      trainer.forget(left, right);
      continue;
    }
    merges.push_back(Json::array({tokens[left], tokens[right]}));
    if (known == tokens.end()) {
      taken.insert(merged);
      tokens.push_back(std::move(merged));
    }
    trainer.merge(left, right, id);
  }

  Json vocabulary = Json::object(), added = Json::array();
  for (size_t id = 0; id < tokens.size(); ++id)
    vocabulary.get_ref<Json::object_t&>().emplace_back(tokens[id], id);
  for (size_t id = 0; id < first_byte; ++id) {
    added.push_back({{"id", id},
                     {"content", tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  const Json model = {{"type", "BPE"},
                      {"dropout", nullptr},
                      {"unk_token", nullptr},
                      {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr},
                      {"fuse_unk", false},
                      {"byte_fallback", false},
                      {"ignore_merges", false},
                      {"vocab", vocabulary},
                      {"merges", merges}};
  return Json{{"version", "1.0"},          {"truncation", nullptr}, {"padding", nullptr},
              {"added_tokens", added},     {"normalizer", nullptr}, {"pre_tokenizer", byte_level},
              {"post_processor", nullptr}, {"decoder", byte_level}, {"model", model}}
             .dump(1) +
         "\n";
}

}  // namespace guerdon::text
