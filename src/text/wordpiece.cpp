// Models that look words up: WordPiece (the longest known beginning, again and again) and WordLevel
// (the word as a whole).
#include "guerdon/base/error.h"
#include "text/bpe.h"
#include "text/trie.h"
#include "text/unicode.h"
#include "text/unigram.h"

namespace guerdon::text {
namespace {

/// The vocabulary and the unknown token that both kinds have.
class WordModel : public Model {
 public:
  explicit WordModel(const Node& node)
      : vocabulary_(read_vocabulary(node["vocab"])), where_(node.where()) {
    unknown_token_ = node.text_or("unk_token", "[UNK]");
    unknown_ = vocabulary_.find(unknown_token_);
  }
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::optional<uint32_t> unknown() const override { return unknown_; }

 protected:
  void add_unknown(std::string_view piece, std::vector<ModelToken>& tokens) const {
    if (!unknown_)
      fail_input(where_, str("needs its unknown token ", show(unknown_token_), " for ", show(piece),
                             ", but the vocabulary lacks it"));
    tokens.push_back({*unknown_, 0, static_cast<uint32_t>(piece.size())});
  }

  Vocabulary vocabulary_;

 private:
  std::optional<uint32_t> unknown_;
  std::string unknown_token_, where_;
};

class WordPiece final : public WordModel {
 public:
  explicit WordPiece(const Node& node)
      : WordModel(node), max_characters_(node.integer_or("max_input_chars_per_word", 100)) {
    Trie::Entries entries;
    for (int64_t id = 0; id < vocabulary_.id_end(); ++id) {
      if (vocabulary_.has(static_cast<uint32_t>(id)))
        entries.emplace_back(vocabulary_.token(static_cast<uint32_t>(id)),
                             static_cast<uint32_t>(id));
    }
    trie_ = Trie(std::move(entries));
    continued_ = Trie::kRoot;
    for (const char c : node.text_or("continuing_subword_prefix", "##")) {
      if (continued_ != Trie::kNone) continued_ = trie_.step(continued_, c);
    }
  }

  void encode(std::string_view piece, Workspace& workspace,
              std::vector<ModelToken>& tokens) const override {
    if (workspace.cache.find(piece, tokens)) return;
    const size_t first = tokens.size();
    bool known = static_cast<int64_t>(unicode::length(piece)) <= max_characters_;
    for (size_t at = 0; known && at < piece.size();) {
      const uint32_t from = at == 0 ? Trie::kRoot : continued_;
      const auto [length, id] = from == Trie::kNone ? std::pair<size_t, uint32_t>{0, 0}
                                                    : trie_.longest(piece.substr(at), from);
      known = length > 0;
      tokens.push_back({id, static_cast<uint32_t>(at), static_cast<uint32_t>(at + length)});
      at += length;
    }
    if (!known) {
      tokens.resize(first);
      add_unknown(piece, tokens);
    }
    workspace.cache.add(piece, tokens, first);
  }

 private:
  Trie trie_;
  uint32_t continued_;  // the node behind the prefix of continued words
  int64_t max_characters_;
};

class WordLevel final : public WordModel {
 public:
  explicit WordLevel(const Node& node) : WordModel(node) {}
  void encode(std::string_view piece, Workspace&, std::vector<ModelToken>& tokens) const override {
    if (const auto id = vocabulary_.find(piece)) {
      tokens.push_back({*id, 0, static_cast<uint32_t>(piece.size())});
    } else {
      add_unknown(piece, tokens);
    }
  }
};

}  // namespace

std::unique_ptr<Model> read_model(const Node& node, bool takes_bytes) {
  // Old files leave the type out.
  const std::string type = node.has("type")     ? node.type()
                           : node.has("merges") ? "BPE"
                           : node.has("unk_id") ? "Unigram"
                                                : "WordPiece";
  if (type == "BPE") return read_bpe(node, takes_bytes);
  if (type == "Unigram") return read_unigram(node);
  if (type == "WordPiece") return std::make_unique<WordPiece>(node);
  if (type == "WordLevel") return std::make_unique<WordLevel>(node);
  node["type"].fail(
      str("no such model: ", show(type), " (expected BPE, Unigram, WordPiece or WordLevel)"));
}

}  // namespace guerdon::text
