#include "guerdon/data/sampler.h"

namespace guerdon::data {

std::vector<Group> Sampler::next_groups(int64_t count) {
  std::vector<Group> groups;
  groups.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    groups.push_back(order_->at(epoch_, position_));
    if (++position_ < order_->size()) continue;
    position_ = 0;
    ++epoch_;
  }
  return groups;
}

std::vector<Place> Sampler::next(int64_t count) {
  std::vector<Place> places;
  for (const Group& group : next_groups(count)) places.push_back(group[0]);
  return places;
}

void Sampler::parts(PlainParts& parts) {
  parts.integer("epoch", epoch_);
  parts.integer("position", position_);
}

}  // namespace guerdon::data
