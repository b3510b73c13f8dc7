/// What one forward pass reads: sequences laid end to end, no padding, shared prefixes once.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "guerdon/ops/tensor.h"

namespace guerdon {

/// Tokens [begin, end) of the packed tokens. A segment attends to itself, causally, and to all of
/// its ancestors. The packer makes the parent: the longest common token prefix of the sequences of
/// one group, whatever the data calls "prompt".
struct Segment {
  int64_t begin, end;
  int64_t parent = -1;  ///< index of an earlier segment, or -1
  int64_t row = -1;     ///< the sequence that this segment ends; -1 for a shared prefix
};

/// Named numbers, one value per row or per target; NaN = missing.
using Columns = std::map<std::string, Tensor>;

/// The n tokens whose log-prob is wanted. A response's first token has its source in the PARENT:
/// one row of the parent predicts a target for each child. So go through `source`, never through
/// "position minus one".
struct Targets {
  Tensor source;    ///< [n] int64: packed position whose hidden state predicts the token
  Tensor token;     ///< [n] int64: the token id
  Tensor row;       ///< [n] int64: the sequence it belongs to, ascending
  Tensor turn;      ///< [n] int64: which assistant turn of the sequence
  Tensor weight;    ///< [n] float32
  Columns columns;  ///< one value per target: recorded log-probs, advantages, returns
};

/// Feature rows that stand in place of token embeddings (projected by the model).
struct SoftTokens {
  Tensor at;      ///< [F] int64 packed positions
  Tensor values;  ///< [F, D]
};

struct PackedBatch {
  Tensor tokens;     ///< [T] int64
  Tensor positions;  ///< [T] int64: 0, 1, ... along each sequence, shared prefix included
  std::vector<Segment> segments;
  Tensor last;  ///< [rows] int64: packed position of each sequence's last token
  Targets targets;
  std::optional<SoftTokens> soft;

  int64_t rows() const { return last.defined() ? last.size(0) : 0; }
};

/// How one collect is used: `iterations` passes over its rows, each cut into `minibatches`
/// optimizer steps.
struct UpdatePlan {
  int64_t iterations = 1;
  int64_t minibatches = 1;
};

/// What one collect gives. The loop cuts it with take().
struct Batch {
  PackedBatch sequences;
  Columns columns;             ///< one value per row: margin, weight, advantage, reward, label, ...
  std::vector<int64_t> group;  ///< offsets [groups + 1] of the rows: pairs are (chosen, rejected);
                               ///< completions of one prompt
  UpdatePlan plan;
  std::vector<std::string> ids;  ///< Example::id of each group, for logs; may be empty
};

/// One sequence for the packer.
struct Sequence {
  std::vector<int64_t> tokens;
  std::vector<float> weight;  ///< as long as tokens: 0 = not a target; empty = no targets.
                              ///< weight[0] is ignored: nothing predicts it
  std::vector<int64_t> turn;  ///< as long as tokens, or empty (all 0)
  std::map<std::string, std::vector<float>>
      columns;  ///< per token values that become Targets::columns, as long as tokens
};

struct PackOptions {
  bool share_prefixes =
      true;  ///< decoders; encoders set it false: a bidirectional prompt depends on its response
};

/// Lays the sequences of each group end to end, their longest common prefix once, before them. Each
/// keeps a token of its own, but for one without targets that begins another of its group: its
/// `last` is inside that one. `group_offsets` [groups + 1]; empty = every sequence is a group of
/// its own. Throws Error (Kind::bug) for an empty sequence.
PackedBatch pack(std::span<const Sequence> sequences, std::span<const int64_t> group_offsets,
                 const PackOptions& options = {});

/// The rows [begin, end) of the groups `groups` (indices into Batch::group), packed anew: every
/// column and target goes along.
Batch take(const Batch& batch, std::span<const int64_t> groups);

/// Number of packed tokens that the rows would have without sharing, for reports.
int64_t unshared_tokens(const PackedBatch& batch);

}  // namespace guerdon
