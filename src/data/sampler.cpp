#include "guerdon/data/sampler.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "guerdon/base/error.h"
#include "guerdon/base/random.h"

namespace guerdon::data {

Sampler::Sampler(std::vector<int64_t> sizes, const SamplerOptions& options) : options_(options) {
  GUERDON_CHECK(!sizes.empty(), "Sampler: needs at least one source");
  if (!options.weights.empty() && options.weights.size() != sizes.size()) {
    fail_settings("key data.weights",
                  str("has ", options.weights.size(), " entries for ", sizes.size(), " files"));
  }
  double total = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    GUERDON_CHECK(sizes[i] > 0, "Sampler: source ", i, " has ", sizes[i], " rows");
    const double weight = options.weights.empty() ? 1.0 : options.weights[i];
    if (!std::isfinite(weight) || weight < 0) {
      fail_settings("key data.weights", str("must be finite and at least 0, got ", weight));
    }
    const double entries = std::round(weight * static_cast<double>(sizes[i]));
    total += entries;
    if (total > 0x1p53) fail_settings("key data.weights", "make an epoch of more than 2^53 rows");
    sources_.push_back({sizes[i], static_cast<int64_t>(entries)});
  }
  total_ = static_cast<int64_t>(total);
  if (total_ == 0) fail_settings("key data.weights", "leave no row");
}

// Entry e of an epoch belongs to the source in whose range it falls; the k-th entry of a source is
// row k of it, or, where the last pass through the source is not whole, row k of an order of its
// own.
Place Sampler::at(int64_t epoch, int64_t position) const {
  GUERDON_CHECK(position >= 0 && position < total_, "Sampler::at: position ", position, " of ",
                total_);
  const std::vector<int64_t>& entries = order(epoch);
  int64_t entry = options_.shuffle ? entries[static_cast<size_t>(position)] : position;
  for (size_t i = 0; i < sources_.size(); ++i) {
    const Source& source = sources_[i];
    if (entry >= source.per_epoch) {
      entry -= source.per_epoch;
      continue;
    }
    const int64_t row = entry % source.size;
    const bool last_pass = entry / source.size == source.per_epoch / source.size;
    return {static_cast<int64_t>(i),
            last_pass && !within_[i].empty() ? within_[i][static_cast<size_t>(row)] : row};
  }
  GUERDON_CHECK(false, "Sampler::at: no source for position ", position);
}

const std::vector<int64_t>& Sampler::order(int64_t epoch) const {
  if (ordered_epoch_ == epoch) return order_;
  const auto number = static_cast<uint64_t>(epoch);
  if (options_.shuffle)
    order_ = Random(options_.seed, Purpose::shuffle, number).permutation(total_);
  within_.assign(sources_.size(), {});
  for (size_t i = 0; i < sources_.size(); ++i) {
    if (options_.shuffle && sources_[i].per_epoch % sources_[i].size != 0) {
      within_[i] =
          Random(options_.seed, Purpose::shuffle, number, i + 1).permutation(sources_[i].size);
    }
  }
  ordered_epoch_ = epoch;
  return order_;
}

Place Sampler::next() {
  const Place place = at(epoch_, position_);
  if (++position_ == total_) {
    position_ = 0;
    ++epoch_;
  }
  return place;
}

std::vector<Place> Sampler::next(int64_t count) {
  std::vector<Place> places;
  places.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) places.push_back(next());
  return places;
}

void Sampler::parts(PlainParts& parts) {
  parts.integer("epoch", epoch_);
  parts.integer("position", position_);
}

}  // namespace guerdon::data
