/// In which order rows are used, and which of them together.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace guerdon::data {

/// A row of one of several sources.
struct Place {
  int64_t source = 0, row = 0;
  friend bool operator==(const Place&, const Place&) = default;
};

/// Rows that are used together: one, or those that a pairing put together.
using Group = std::vector<Place>;

/// The groups of each epoch: a pure function of what it was made from and of the epoch's number;
/// for one thread, since it keeps the order of the epoch that was asked for last. Shuffled orders
/// are exact permutations (Fisher-Yates on counter-based numbers).
class Order {
 public:
  virtual ~Order() = default;
  virtual int64_t size() const = 0;  ///< groups of an epoch, > 0
  /// The group at `position` in [0, size) of an epoch, counted from 0.
  virtual Group at(int64_t epoch, int64_t position) const = 0;
};

struct SamplerOptions {
  uint64_t seed = 42;
  bool shuffle = true;
  /// How often an epoch goes through each source: 1 is every row once, 2 twice, 0.5 half of the
  /// rows (another half each epoch, as far as chance will have it). Empty: 1 for all.
  std::vector<double> weights;
};

/// Single rows of sources of these sizes (> 0), 8 bytes for each row of an epoch. Throws Error
/// (Kind::settings) when a weight is negative, not finite, of the wrong number, or all give no row.
std::unique_ptr<Order> mixture(std::vector<int64_t> sizes, const SamplerOptions& options = {});

/// Single rows, one of each stratum in turn: n strata one after the other, again and again, so that
/// any n groups in a row have one of each. An epoch goes once through the largest stratum, and
/// through a smaller one as often as that takes, in another order each time. Strata are not empty;
/// `options` has no weights.
std::unique_ptr<Order> in_turn(std::vector<std::vector<Place>> strata,
                               const SamplerOptions& options = {});

/// Single rows of sources of these sizes, from those that are easy to those that are hard, as soon
/// as it is known which are which; shuffled as in mixture() before. Rows are sorted, cut into
/// buckets of (nearly) one size, and shuffled within each. `options` has no weights.
class EasyFirst final : public Order {
 public:
  EasyFirst(const std::vector<int64_t>& sizes, int64_t buckets, const SamplerOptions& options);
  int64_t size() const override { return static_cast<int64_t>(places_.size()); }
  Group at(int64_t epoch, int64_t position) const override;
  /// From the next question on: larger is easier, one number for each row, source after source; the
  /// first of equals goes first, those that are not numbers last.
  void set_ease(const std::vector<double>& ease);

 private:
  std::vector<Place> places_;
  int64_t buckets_;
  SamplerOptions options_;
  std::vector<int64_t> sorted_;  // rows, the easiest first; empty: not known
  mutable int64_t epoch_ = -1;   // the one that order_ is of
  mutable std::vector<int64_t> order_;
};

/// Rows that passed and rows that failed, of one kind: what a pair may be made of.
struct Graded {
  std::vector<Place> passed, failed;
};

/// Pairs of rows of a kind (SoliReward, arXiv:2512.22170): (passed, failed), as many as the larger
/// side has rows, each of them in one pair at least; and `ties` times as many (passed, passed), as
/// far as there are different ones. No pair is there twice in an epoch, and kinds are mixed.
/// `options` has no weights. Throws Error (Kind::input) with `where` when no pair can be made.
std::unique_ptr<Order> pairs_across(std::vector<Graded> kinds, double ties,
                                    const SamplerOptions& options, const std::string& where);

}  // namespace guerdon::data
