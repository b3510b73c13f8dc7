/// The unigram language model (Kudo 2018, arXiv:1804.10959): of all ways to cut a piece into
/// tokens, the one whose scores add up to most.
#pragma once

#include "text/model.h"
#include "text/trie.h"

namespace guerdon::text {

struct UnigramSettings {
  std::optional<uint32_t> unknown;
  bool byte_fallback = false;
  /// As SentencePiece adds its scores; the Hugging Face library uses double precision. It decides
  /// ties.
  bool single_precision = false;
};

class Unigram final : public Model {
 public:
  struct Entry {
    double score = 0;
    bool matches = true;  ///< whether text may become this token
  };
  /// `entries`: by id. `unknown_score`: of a character that no token covers.
  Unigram(Vocabulary vocabulary, std::vector<Entry> entries, double unknown_score,
          UnigramSettings settings);
  void encode(std::string_view piece, Workspace& workspace,
              std::vector<ModelToken>& tokens) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::optional<uint32_t> unknown() const override { return settings_.unknown; }

 private:
  void find_best_path(std::string_view piece, std::vector<Workspace::Step>& steps) const;

  Vocabulary vocabulary_;
  std::vector<Entry> entries_;
  double unknown_score_;
  UnigramSettings settings_;
  Trie trie_;
  std::vector<uint32_t> fallback_;  // ids of <0x00> to <0xFF>; empty unless all are there
};

/// SentencePiece's penalty below the lowest score, for a character that no token covers.
inline constexpr double kUnknownPenalty = 10.0;

std::unique_ptr<Model> read_unigram(const Node& node);

}  // namespace guerdon::text
