/// Byte pair encoding (Sennrich et al. 2016, arXiv:1508.07909): the pair of neighbours with the
/// lowest rank is merged, the leftmost first, until none has a rank.
#pragma once

#include "text/model.h"

namespace guerdon::text {

/// Which pairs of ids may be merged, when, and into what.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank, id;
  };
  static constexpr uint32_t kNever = UINT32_MAX;

  void reserve(size_t merges);
  /// A later entry for the same pair replaces the earlier one.
  void add(uint32_t left, uint32_t right, Merge merge);
  /// rank == kNever when the pair is not to be merged.
  Merge find(uint32_t left, uint32_t right) const;

 private:
  struct Slot {
    uint64_t pair = kFree;
    Merge merge{kNever, 0};
  };
  static constexpr uint64_t kFree = UINT64_MAX;
  size_t slot_of(uint64_t pair) const;
  std::vector<Slot> slots_;
  size_t used_ = 0;
};

/// Merges workspace.symbols (ids and lengths given; places in order) as far as the table goes, and
/// puts the result behind what is in `tokens`. Short words in the simplest way, long ones with a
/// heap: n log n.
void merge_symbols(const MergeTable& merges, Workspace& workspace, std::vector<ModelToken>& tokens);

struct BpeSettings {
  std::optional<uint32_t> unknown;
  std::string continuing_prefix, end_suffix;
  bool fuse_unknown = false, byte_fallback = false, ignore_merges = false;
  bool takes_bytes = false;  ///< pieces are bytes; the vocabulary writes them in the byte alphabet
};

class Bpe final : public Model {
 public:
  Bpe(Vocabulary vocabulary, MergeTable merges, BpeSettings settings);
  void encode(std::string_view piece, Workspace& workspace,
              std::vector<ModelToken>& tokens) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::optional<uint32_t> unknown() const override { return settings_.unknown; }

 private:
  void encode_word(std::string_view word, Workspace& workspace,
                   std::vector<ModelToken>& tokens) const;
  /// True when something was left out.
  bool split(std::string_view word, Workspace& workspace) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  BpeSettings settings_;
  std::vector<uint32_t>
      id_of_byte_;  // takes_bytes: the symbol of each byte; else of each ASCII character
  std::vector<uint32_t> fallback_;  // ids of <0x00> to <0xFF>, kNone where there is none
  bool cuts_at_spaces_ = false;  // no token goes on behind a word: words may be merged one by one
  Vocabulary whole_;             // ignore_merges with takes_bytes: tokens by their bytes
};

std::unique_ptr<Model> read_bpe(const Node& node, bool takes_bytes);

}  // namespace guerdon::text
