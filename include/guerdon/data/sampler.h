/// A place in an order of rows, epoch after epoch.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "guerdon/base/plain_parts.h"
#include "guerdon/data/order.h"

namespace guerdon::data {

/// Gives groups epoch after epoch; for one thread. Nothing is drawn from what came before, so a
/// resumed run needs only the position, and any place can be asked for directly.
class Sampler {
 public:
  explicit Sampler(std::shared_ptr<const Order> order) : order_(std::move(order)) {}
  /// The rows of several sources: mixture().
  explicit Sampler(std::vector<int64_t> sizes, const SamplerOptions& options = {})
      : Sampler(mixture(std::move(sizes), options)) {}

  int64_t groups_per_epoch() const { return order_->size(); }
  /// The next groups, going on with the next epoch after the last.
  std::vector<Group> next_groups(int64_t count);

  // The same of an order of single rows.
  int64_t rows_per_epoch() const { return order_->size(); }
  Place next() { return next_groups(1)[0][0]; }
  std::vector<Place> next(int64_t count);
  /// The place at `position` in [0, rows_per_epoch()) of an epoch, counted from 0.
  Place at(int64_t epoch, int64_t position) const { return order_->at(epoch, position)[0]; }

  int64_t epoch() const { return epoch_; }        ///< of the next group
  int64_t position() const { return position_; }  ///< of the next group within its epoch
  /// Lists epoch and position.
  void parts(PlainParts& parts);

 private:
  std::shared_ptr<const Order> order_;
  int64_t epoch_ = 0, position_ = 0;
};

}  // namespace guerdon::data
