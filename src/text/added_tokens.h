/// Tokens that stand beside the model's vocabulary and are found in the text before anything else:
/// "added_tokens" of tokenizer.json.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "text/model.h"
#include "text/normalizer.h"
#include "text/trie.h"

namespace guerdon::text {

struct AddedToken {
  uint32_t id = 0;
  std::string content;
  bool single_word = false;  ///< only where no word character stands beside it
  bool lstrip = false;       ///< takes the spaces before it
  bool rstrip = false;       ///< takes the spaces behind it
  bool normalized = false;   ///< is looked for in the normalized text, in its own normalized form
  bool special = false;      ///< left out by decoding that skips special tokens
  bool matched = true;       ///< whether text becomes this token; else it only decodes
  std::string written =
      {};  ///< how it is decoded: the content, or its normalized form (set by AddedTokens)
};

/// The entries of the list. Throws Error (Kind::input) when they contradict each other or the
/// vocabulary.
std::vector<AddedToken> read_added_tokens(const Node& node, const Vocabulary& vocabulary);

class AddedTokens {
 public:
  /// A part of a text: an added token, or what stands between.
  struct Part {
    Piece piece;
    const AddedToken* token;  ///< nullptr: plain text
  };

  AddedTokens() = default;
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer* normalizer);

  const AddedToken* by_id(uint32_t id) const;
  const AddedToken* by_content(std::string_view content) const;
  /// Largest id + 1, or 0.
  int64_t id_end() const;

  /// The text cut at the tokens that are looked for in the text as it came, or in the normalized
  /// text. At each place the longest counts; the parts cover the text.
  std::vector<Part> split_raw(std::string_view text) const { return split(text, raw_); }
  std::vector<Part> split_normalized(std::string_view text) const {
    return split(text, normalized_);
  }

 private:
  struct Finder {
    Trie trie;
    bool starts[256] = {};  // bytes that a token begins with
    bool any = false;
    explicit Finder(const Trie::Entries& entries);
    Finder() = default;
  };
  std::vector<Part> split(std::string_view text, const Finder& finder) const;

  std::vector<AddedToken> tokens_;
  std::map<uint32_t, size_t> index_of_id_;
  std::map<std::string, size_t, std::less<>> index_of_content_;
  Finder raw_, normalized_;
};

}  // namespace guerdon::text
