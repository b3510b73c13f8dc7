#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "guerdon/base/error.h"
#include "guerdon/model/batch.h"

namespace guerdon {
namespace {

Tensor int64_tensor(const std::vector<int64_t>& values) {
  Tensor out = at::empty({static_cast<int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), out.data_ptr<int64_t>());
  return out;
}

Tensor float_tensor(const std::vector<float>& values) {
  Tensor out = at::empty({static_cast<int64_t>(values.size())}, at::kFloat);
  std::copy(values.begin(), values.end(), out.data_ptr<float>());
  return out;
}

/// For each sequence of a group the longest one that it is a beginning of, itself where there is
/// none. One with targets stands alone.
std::vector<size_t> containers(std::span<const Sequence> group) {
  std::vector<size_t> out(group.size());
  for (size_t i = 0; i < group.size(); ++i) {
    const std::vector<int64_t>& own = group[i].tokens;
    out[i] = i;
    for (size_t k = 0; k < group.size() && group[i].weight.empty(); ++k) {
      const std::vector<int64_t>& other = group[k].tokens;
      if (other.size() > own.size() && other.size() > group[out[i]].tokens.size() &&
          std::equal(own.begin(), own.end(), other.begin()))
        out[i] = k;
    }
  }
  return out;
}

// Longest common prefix that leaves every sequence that stands alone a token of its own.
int64_t shared_prefix(std::span<const Sequence> group, const std::vector<size_t>& container) {
  const std::vector<int64_t>* first = nullptr;
  int64_t length = 0;
  for (size_t i = 0; i < group.size(); ++i) {
    if (container[i] != i) continue;
    const std::vector<int64_t>& other = group[i].tokens;
    const auto most = static_cast<int64_t>(other.size()) - 1;
    if (first == nullptr) {
      first = &other;
      length = most;
      continue;
    }
    length = std::min(length, most);
    length = std::mismatch(first->begin(), first->begin() + length, other.begin()).first -
             first->begin();
  }
  return length;
}

void check(const Sequence& sequence, size_t index) {
  const size_t length = sequence.tokens.size();
  GUERDON_CHECK(length > 0, "pack: sequence ", index, " is empty");
  GUERDON_CHECK(sequence.weight.empty() || sequence.weight.size() == length, "pack: sequence ",
                index, " has ", length, " tokens but ", sequence.weight.size(), " weights");
  GUERDON_CHECK(sequence.turn.empty() || sequence.turn.size() == length, "pack: sequence ", index,
                " has ", length, " tokens but ", sequence.turn.size(), " turns");
  for (const auto& [name, values] : sequence.columns)
    GUERDON_CHECK(values.size() == length, "pack: sequence ", index, " has ", length,
                  " tokens but ", values.size(), " values of ", name);
}

// Collects what becomes a PackedBatch.
class Packer {
 public:
  explicit Packer(std::span<const Sequence> sequences) {
    for (const Sequence& sequence : sequences)
      for (const auto& [name, values] : sequence.columns) columns_[name];
  }

  /// `container` as containers() gives it; empty: nothing is shared.
  void add_group(std::span<const Sequence> group, const std::vector<size_t>& container) {
    const auto alone = [&](size_t i) { return container.empty() || container[i] == i; };
    size_t standing = 0;
    for (size_t i = 0; i < group.size(); ++i) standing += alone(i);
    const int64_t shared = standing < 2 || container.empty() ? 0 : shared_prefix(group, container);
    int64_t parent = -1;
    const auto parent_begin = static_cast<int64_t>(tokens_.size());
    const auto first_row = static_cast<int64_t>(last_.size());
    std::vector<int64_t> begins(group.size());
    for (size_t i = 0; i < group.size(); ++i) {
      if (!alone(i)) continue;
      const Sequence& sequence = group[i];
      if (shared > 0 && parent < 0) {
        add_tokens(sequence, 0, shared);
        parent = static_cast<int64_t>(segments_.size());
        segments_.push_back({parent_begin, parent_begin + shared});
      }
      const auto length = static_cast<int64_t>(sequence.tokens.size());
      const auto begin = begins[i] = static_cast<int64_t>(tokens_.size());
      add_tokens(sequence, shared, length);
      const auto row = first_row + static_cast<int64_t>(i);
      segments_.push_back({begin, begin + length - shared, parent, row});
      add_targets(sequence, row,
                  [&](int64_t t) { return t < shared ? parent_begin + t : begin + t - shared; });
    }
    for (size_t i = 0; i < group.size(); ++i) {
      const int64_t begin = begins[container.empty() ? i : container[i]];
      const auto end = static_cast<int64_t>(group[i].tokens.size()) - 1;
      last_.push_back(end < shared ? parent_begin + end : begin + end - shared);
    }
  }

  PackedBatch finish() {
    Columns columns;
    for (const auto& [name, values] : columns_) columns[name] = float_tensor(values);
    return {.tokens = int64_tensor(tokens_),
            .positions = int64_tensor(positions_),
            .segments = std::move(segments_),
            .last = int64_tensor(last_),
            .targets = {.source = int64_tensor(source_),
                        .token = int64_tensor(token_),
                        .row = int64_tensor(row_),
                        .turn = int64_tensor(turn_),
                        .weight = float_tensor(weight_),
                        .columns = std::move(columns)}};
  }

 private:
  void add_tokens(const Sequence& sequence, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      tokens_.push_back(sequence.tokens[static_cast<size_t>(i)]);
      positions_.push_back(i);
    }
  }

  // `place` gives the packed position of the sequence's i-th token.
  template <class Place>
  void add_targets(const Sequence& sequence, int64_t row, const Place& place) {
    for (size_t i = 1; i < sequence.weight.size(); ++i) {
      if (sequence.weight[i] == 0.0F) continue;
      source_.push_back(place(static_cast<int64_t>(i) - 1));
      token_.push_back(sequence.tokens[i]);
      row_.push_back(row);
      turn_.push_back(sequence.turn.empty() ? 0 : sequence.turn[i]);
      weight_.push_back(sequence.weight[i]);
      for (auto& [name, values] : columns_) {
        const auto column = sequence.columns.find(name);
        values.push_back(column == sequence.columns.end() ? std::numeric_limits<float>::quiet_NaN()
                                                          : column->second[i]);
      }
    }
  }

  std::vector<int64_t> tokens_, positions_, last_, source_, token_, row_, turn_;
  std::vector<float> weight_;
  std::map<std::string, std::vector<float>> columns_;
  std::vector<Segment> segments_;
};

std::vector<int64_t> offsets_or_singles(std::span<const int64_t> offsets, int64_t rows) {
  std::vector<int64_t> out(offsets.begin(), offsets.end());
  if (out.empty()) {
    out.resize(static_cast<size_t>(rows) + 1);
    std::iota(out.begin(), out.end(), int64_t{0});
  }
  GUERDON_CHECK(out.front() == 0 && out.back() == rows && std::is_sorted(out.begin(), out.end()),
                "group offsets must rise from 0 to the number of rows, ", rows);
  return out;
}

std::vector<int64_t> int64_values(const Tensor& tensor) {
  const Tensor values = tensor.to(at::kCPU, at::kLong).contiguous();
  return {values.data_ptr<int64_t>(), values.data_ptr<int64_t>() + values.numel()};
}

}  // namespace

PackedBatch pack(std::span<const Sequence> sequences, std::span<const int64_t> group_offsets,
                 const PackOptions& options) {
  for (size_t i = 0; i < sequences.size(); ++i) check(sequences[i], i);
  const std::vector<int64_t> offsets =
      offsets_or_singles(group_offsets, static_cast<int64_t>(sequences.size()));

  Packer packer(sequences);
  for (size_t g = 0; g + 1 < offsets.size(); ++g) {
    const auto group = sequences.subspan(static_cast<size_t>(offsets[g]),
                                         static_cast<size_t>(offsets[g + 1] - offsets[g]));
    packer.add_group(group, options.share_prefixes && group.size() > 1 ? containers(group)
                                                                       : std::vector<size_t>());
  }
  return packer.finish();
}

Batch take(const Batch& batch, std::span<const int64_t> groups) {
  const PackedBatch& whole = batch.sequences;
  const std::vector<int64_t> offsets = offsets_or_singles(batch.group, whole.rows());
  const auto group_count = static_cast<int64_t>(offsets.size()) - 1;

  // The segments that the chosen rows need, in their new order, and where each packed position
  // goes.
  constexpr size_t kNone = std::numeric_limits<size_t>::max();  // a row inside another one's
  std::vector<size_t> segment_of_row(static_cast<size_t>(whole.rows()), kNone);
  for (size_t s = 0; s < whole.segments.size(); ++s)
    if (whole.segments[s].row >= 0) segment_of_row[static_cast<size_t>(whole.segments[s].row)] = s;
  std::vector<int64_t> rows, new_offsets{0}, from;
  std::vector<int64_t> new_segment(whole.segments.size(), -1);
  std::vector<int64_t> new_position(static_cast<size_t>(whole.tokens.size(0)), -1);
  std::vector<Segment> segments;
  const auto add_segment = [&](size_t s) {
    const Segment& old = whole.segments[s];
    const auto begin = static_cast<int64_t>(from.size());
    for (int64_t t = old.begin; t < old.end; ++t) {
      new_position[static_cast<size_t>(t)] = static_cast<int64_t>(from.size());
      from.push_back(t);
    }
    const int64_t parent = old.parent < 0 ? -1 : new_segment[static_cast<size_t>(old.parent)];
    new_segment[s] = static_cast<int64_t>(segments.size());
    segments.push_back({begin, static_cast<int64_t>(from.size()), parent, -1});
  };
  for (const int64_t g : groups) {
    GUERDON_CHECK(g >= 0 && g < group_count, "take: group ", g, " of ", group_count);
    for (int64_t r = offsets[static_cast<size_t>(g)]; r < offsets[static_cast<size_t>(g) + 1];
         ++r) {
      rows.push_back(r);
      if (segment_of_row[static_cast<size_t>(r)] == kNone) continue;
      std::vector<size_t>
          chain;  // the row's own segment, then its ancestors that are not there yet
      for (auto s = static_cast<int64_t>(segment_of_row[static_cast<size_t>(r)]);
           s >= 0 && new_segment[static_cast<size_t>(s)] < 0;
           s = whole.segments[static_cast<size_t>(s)].parent)
        chain.push_back(static_cast<size_t>(s));
      GUERDON_CHECK(!chain.empty(), "take: group ", g, " is asked for twice");
      for (auto s = chain.rbegin(); s != chain.rend(); ++s) add_segment(*s);
      segments.back().row = static_cast<int64_t>(rows.size()) - 1;
    }
    new_offsets.push_back(static_cast<int64_t>(rows.size()));
  }

  // The targets of those rows: they stand in row order, so each row's are one range.
  const Targets& targets = whole.targets;
  std::vector<int64_t> chosen, chosen_row;
  if (targets.row.defined()) {
    const std::vector<int64_t> target_row = int64_values(targets.row);
    for (size_t r = 0; r < rows.size(); ++r) {
      const auto [begin, end] = std::equal_range(target_row.begin(), target_row.end(), rows[r]);
      for (auto t = begin; t != end; ++t) {
        chosen.push_back(t - target_row.begin());
        chosen_row.push_back(static_cast<int64_t>(r));
      }
    }
  }

  const auto device = whole.tokens.device();
  const Tensor from_index = int64_tensor(from).to(device),
               row_index = int64_tensor(rows).to(device);
  const Tensor target_index = int64_tensor(chosen).to(device),
               moved = int64_tensor(new_position).to(device);
  const auto select = [](const Columns& columns, const Tensor& index) {
    Columns out;
    for (const auto& [name, values] : columns)
      out[name] = values.index_select(0, index.to(values.device()));
    return out;
  };

  Batch out;
  PackedBatch& part = out.sequences;
  part.tokens = whole.tokens.index_select(0, from_index);
  part.positions = whole.positions.index_select(0, from_index);
  part.segments = std::move(segments);
  part.last = moved.index_select(0, whole.last.index_select(0, row_index));
  if (targets.row.defined()) {
    part.targets = {.source = moved.index_select(0, targets.source.index_select(0, target_index)),
                    .token = targets.token.index_select(0, target_index),
                    .row = int64_tensor(chosen_row).to(device),
                    .turn = targets.turn.index_select(0, target_index),
                    .weight = targets.weight.index_select(0, target_index),
                    .columns = select(targets.columns, target_index)};
  }
  if (whole.soft) {
    const Tensor at = moved.index_select(0, whole.soft->at);
    const Tensor kept = (at >= 0).nonzero().squeeze(1);
    part.soft = SoftTokens{at.index_select(0, kept), whole.soft->values.index_select(0, kept)};
  }
  out.columns = select(batch.columns, row_index);
  out.group = std::move(new_offsets);
  out.plan = batch.plan;
  if (!batch.ids.empty())
    for (const int64_t g : groups) out.ids.push_back(batch.ids[static_cast<size_t>(g)]);
  return out;
}

int64_t unshared_tokens(const PackedBatch& batch) {
  if (batch.rows() == 0) return 0;
  return (batch.positions.index_select(0, batch.last) + 1).sum().item<int64_t>();
}

}  // namespace guerdon
