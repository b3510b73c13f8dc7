#include "guerdon/data/order.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "guerdon/base/error.h"
#include "guerdon/base/random.h"

namespace guerdon::data {
namespace {

/// An order of size numbers; as they are without shuffle.
std::vector<int64_t> order_of(const SamplerOptions& options, int64_t size, uint64_t epoch,
                              uint64_t stream) {
  if (options.shuffle)
    return Random(options.seed, Purpose::shuffle, epoch, stream).permutation(size);
  std::vector<int64_t> out(static_cast<size_t>(size));
  std::iota(out.begin(), out.end(), int64_t{0});
  return out;
}

class Mixture final : public Order {
 public:
  Mixture(std::vector<int64_t> sizes, const SamplerOptions& options) : options_(options) {
    GUERDON_CHECK(!sizes.empty(), "mixture: needs at least one source");
    if (!options.weights.empty() && options.weights.size() != sizes.size()) {
      fail_settings("key data.weights",
                    str("has ", options.weights.size(), " entries for ", sizes.size(), " files"));
    }
    double total = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      GUERDON_CHECK(sizes[i] > 0, "mixture: source ", i, " has ", sizes[i], " rows");
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

  int64_t size() const override { return total_; }

  // Entry e of an epoch belongs to the source in whose range it falls; the k-th entry of a source
  // is row k of it, or, where the last pass through the source is not whole, row k of an order of
  // its own.
  Group at(int64_t epoch, int64_t position) const override {
    GUERDON_CHECK(position >= 0 && position < total_, "mixture: position ", position, " of ",
                  total_);
    prepare(epoch);
    int64_t entry = options_.shuffle ? order_[static_cast<size_t>(position)] : position;
    for (size_t i = 0; i < sources_.size(); ++i) {
      const Source& source = sources_[i];
      if (entry >= source.per_epoch) {
        entry -= source.per_epoch;
        continue;
      }
      const int64_t row = entry % source.size;
      const bool last_pass = entry / source.size == source.per_epoch / source.size;
      return {{static_cast<int64_t>(i),
               last_pass && !within_[i].empty() ? within_[i][static_cast<size_t>(row)] : row}};
    }
    GUERDON_CHECK(false, "mixture: no source for position ", position);
  }

 private:
  struct Source {
    int64_t size;
    int64_t per_epoch;  // entries that it has in an epoch
  };

  void prepare(int64_t epoch) const {
    if (ordered_epoch_ == epoch) return;
    const auto number = static_cast<uint64_t>(epoch);
    if (options_.shuffle) order_ = order_of(options_, total_, number, 0);
    within_.assign(sources_.size(), {});
    for (size_t i = 0; i < sources_.size(); ++i) {
      if (options_.shuffle && sources_[i].per_epoch % sources_[i].size != 0)
        within_[i] = order_of(options_, sources_[i].size, number, i + 1);
    }
    ordered_epoch_ = epoch;
  }

  std::vector<Source> sources_;
  SamplerOptions options_;
  int64_t total_ = 0;
  mutable int64_t ordered_epoch_ = -1;  // the epoch that order_ and within_ are for
  mutable std::vector<int64_t> order_;
  mutable std::vector<std::vector<int64_t>>
      within_;  // of a source whose weight is not a whole number: its rows in order
};

class InTurn final : public Order {
 public:
  InTurn(std::vector<std::vector<Place>> strata, const SamplerOptions& options)
      : strata_(std::move(strata)), options_(options), passes_(strata_.size()) {
    GUERDON_CHECK(!strata_.empty() && options.weights.empty(), "in_turn: ", strata_.size(),
                  " strata, ", options.weights.size(), " weights");
    for (const auto& stratum : strata_) {
      GUERDON_CHECK(!stratum.empty(), "in_turn: a stratum is empty");
      rounds_ = std::max(rounds_, static_cast<int64_t>(stratum.size()));
    }
  }

  int64_t size() const override { return rounds_ * static_cast<int64_t>(strata_.size()); }

  Group at(int64_t epoch, int64_t position) const override {
    GUERDON_CHECK(position >= 0 && position < size(), "in_turn: position ", position, " of ",
                  size());
    const auto count = static_cast<int64_t>(strata_.size());
    const auto i = static_cast<size_t>(position % count);
    const int64_t round = position / count, rows = static_cast<int64_t>(strata_[i].size());
    // Passes through a stratum are counted over all epochs: each has an order of its own.
    const int64_t passes_per_epoch = (rounds_ + rows - 1) / rows;
    Pass& pass = passes_[i];
    const int64_t number = epoch * passes_per_epoch + round / rows;
    if (pass.number != number) {
      pass.order = order_of(options_, rows, static_cast<uint64_t>(number), i + 1);
      pass.number = number;
    }
    return {strata_[i][static_cast<size_t>(pass.order[static_cast<size_t>(round % rows)])]};
  }

 private:
  struct Pass {
    int64_t number = -1;
    std::vector<int64_t> order;
  };
  std::vector<std::vector<Place>> strata_;
  SamplerOptions options_;
  int64_t rounds_ = 0;
  mutable std::vector<Pass> passes_;  // of each stratum, the one that was asked for last
};

class PairsAcross final : public Order {
 public:
  PairsAcross(std::vector<Graded> kinds, double ties, const SamplerOptions& options,
              const std::string& where)
      : kinds_(std::move(kinds)), options_(options) {
    GUERDON_CHECK(options.weights.empty() && ties >= 0.0, "pairs_across: weights, or ties below 0");
    for (const Graded& kind : kinds_) {
      const auto p = static_cast<int64_t>(kind.passed.size()),
                 f = static_cast<int64_t>(kind.failed.size());
      const int64_t wins = p > 0 && f > 0 ? std::max(p, f) : 0;
      const int64_t most = p * (p - 1) / 2;
      const double wanted = std::round(ties * static_cast<double>(wins));
      const int64_t tied = wanted < static_cast<double>(most) ? static_cast<int64_t>(wanted) : most;
      counts_.push_back({wins, tied});
      total_ += wins + tied;
    }
    if (total_ == 0)
      fail_input(where, "no pair can be made: no kind of rows has both passed and failed ones");
  }

  int64_t size() const override { return total_; }

  Group at(int64_t epoch, int64_t position) const override {
    GUERDON_CHECK(position >= 0 && position < total_, "pairs_across: position ", position, " of ",
                  total_);
    if (epoch_ != epoch) prepare(epoch);
    const auto& [first, second] =
        pairs_[static_cast<size_t>(order_[static_cast<size_t>(position)])];
    return {first, second};
  }

 private:
  struct Counts {
    int64_t wins, ties;
  };

  void prepare(int64_t epoch) const {
    const auto number = static_cast<uint64_t>(epoch);
    pairs_.clear();
    for (size_t k = 0; k < kinds_.size(); ++k) {
      const Graded& kind = kinds_[k];
      const auto p = static_cast<int64_t>(kind.passed.size()),
                 f = static_cast<int64_t>(kind.failed.size());
      const std::vector<int64_t> passed = order_of(options_, p, number, 2 * k + 1),
                                 failed = order_of(options_, f, number, 2 * k + 2);
      const auto pass = [&](int64_t i) {
        return kind.passed[static_cast<size_t>(passed[static_cast<size_t>(i % p)])];
      };
      for (int64_t i = 0; i < counts_[k].wins; ++i) {
        pairs_.emplace_back(pass(i),
                            kind.failed[static_cast<size_t>(failed[static_cast<size_t>(i % f)])]);
      }
      // Each with the s-th after it, s = 1, 2, ...: the first p (p - 1) / 2 of these are different.
      for (int64_t i = 0; i < counts_[k].ties; ++i)
        pairs_.emplace_back(pass(i), pass(i % p + 1 + i / p));
    }
    order_ = order_of(options_, total_, number, 0);
    epoch_ = epoch;
  }

  std::vector<Graded> kinds_;
  std::vector<Counts> counts_;
  SamplerOptions options_;
  int64_t total_ = 0;
  mutable int64_t epoch_ = -1;  // the one that pairs_ and order_ are of
  mutable std::vector<std::pair<Place, Place>> pairs_;
  mutable std::vector<int64_t> order_;
};

}  // namespace

EasyFirst::EasyFirst(const std::vector<int64_t>& sizes, int64_t buckets,
                     const SamplerOptions& options)
    : buckets_(buckets), options_(options) {
  GUERDON_CHECK(buckets > 0 && options.weights.empty(), "EasyFirst: ", buckets, " buckets, ",
                options.weights.size(), " weights");
  for (size_t i = 0; i < sizes.size(); ++i) {
    for (int64_t row = 0; row < sizes[i]; ++row) places_.push_back({static_cast<int64_t>(i), row});
  }
  GUERDON_CHECK(!places_.empty(), "EasyFirst: no rows");
}

void EasyFirst::set_ease(const std::vector<double>& ease) {
  GUERDON_CHECK(ease.size() == places_.size(), "EasyFirst: ", ease.size(), " numbers for ",
                places_.size(), " rows");
  sorted_.resize(ease.size());
  std::iota(sorted_.begin(), sorted_.end(), int64_t{0});
  const auto key = [&](int64_t row) {
    const double value = ease[static_cast<size_t>(row)];
    return std::isnan(value) ? -std::numeric_limits<double>::infinity() : value;
  };
  std::stable_sort(sorted_.begin(), sorted_.end(),
                   [&](int64_t a, int64_t b) { return key(a) > key(b); });
  epoch_ = -1;
}

Group EasyFirst::at(int64_t epoch, int64_t position) const {
  GUERDON_CHECK(position >= 0 && position < size(), "EasyFirst: position ", position, " of ",
                size());
  if (epoch_ != epoch) {
    const auto number = static_cast<uint64_t>(epoch);
    const int64_t buckets = sorted_.empty() ? 1 : buckets_;
    order_.clear();
    for (int64_t b = 0; b < buckets; ++b) {
      const int64_t begin = b * size() / buckets, end = (b + 1) * size() / buckets;
      for (const int64_t i : order_of(options_, end - begin, number, static_cast<uint64_t>(b))) {
        const int64_t place = begin + i;
        order_.push_back(sorted_.empty() ? place : sorted_[static_cast<size_t>(place)]);
      }
    }
    epoch_ = epoch;
  }
  return {places_[static_cast<size_t>(order_[static_cast<size_t>(position)])]};
}

std::unique_ptr<Order> mixture(std::vector<int64_t> sizes, const SamplerOptions& options) {
  return std::make_unique<Mixture>(std::move(sizes), options);
}

std::unique_ptr<Order> in_turn(std::vector<std::vector<Place>> strata,
                               const SamplerOptions& options) {
  return std::make_unique<InTurn>(std::move(strata), options);
}

std::unique_ptr<Order> pairs_across(std::vector<Graded> kinds, double ties,
                                    const SamplerOptions& options, const std::string& where) {
  return std::make_unique<PairsAcross>(std::move(kinds), ties, options, where);
}

}  // namespace guerdon::data
