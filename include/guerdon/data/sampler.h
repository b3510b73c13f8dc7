/// In which order rows are used.
#pragma once

#include <cstdint>
#include <vector>

#include "guerdon/base/plain_parts.h"

namespace guerdon::data {

/// A row of one of several sources.
struct Place {
  int64_t source = 0, row = 0;
  friend bool operator==(const Place&, const Place&) = default;
};

struct SamplerOptions {
  uint64_t seed = 42;
  bool shuffle = true;
  /// How often an epoch goes through each source: 1 is every row once, 2 twice, 0.5 half of the
  /// rows (another half each epoch, as far as chance will have it). Empty: 1 for all.
  std::vector<double> weights;
};

/// Gives places epoch after epoch; for one thread. The order of an epoch is a pure function of
/// (seed, epoch, sizes, weights): nothing is drawn from what came before, so a resumed run needs
/// only the position, and any place can be asked for directly.
///
/// Shuffled orders are exact permutations (Fisher-Yates on counter-based numbers), kept as 8 bytes
/// for each row of the present epoch, beside the 12 bytes that the offset index of a source holds
/// anyway.
class Sampler {
 public:
  /// `sizes`: rows of each source, > 0. Throws Error (Kind::settings) when a weight is negative,
  /// not finite, of the wrong number, or all give no row.
  Sampler(std::vector<int64_t> sizes, const SamplerOptions& options = {});

  int64_t rows_per_epoch() const { return total_; }
  /// The next place, going on with the next epoch after the last.
  Place next();
  std::vector<Place> next(int64_t count);
  /// The place at `position` in [0, rows_per_epoch()) of an epoch, counted from 0.
  Place at(int64_t epoch, int64_t position) const;

  int64_t epoch() const { return epoch_; }        ///< of the next place
  int64_t position() const { return position_; }  ///< of the next place within its epoch
  /// Lists epoch and position.
  void parts(PlainParts& parts);

 private:
  struct Source {
    int64_t size;
    int64_t per_epoch;  // entries that it has in an epoch
  };
  const std::vector<int64_t>& order(int64_t epoch) const;

  std::vector<Source> sources_;
  SamplerOptions options_;
  int64_t total_ = 0;
  int64_t epoch_ = 0, position_ = 0;
  mutable int64_t ordered_epoch_ = -1;  // the epoch that order_ and within_ are for
  mutable std::vector<int64_t> order_;
  mutable std::vector<std::vector<int64_t>>
      within_;  // of a source whose weight is not a whole number: its rows in order
};

}  // namespace guerdon::data
