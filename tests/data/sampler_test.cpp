#include "guerdon/data/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "support/errors.h"

namespace guerdon::data {
namespace {

std::vector<Place> epoch_of(const Sampler& sampler, int64_t epoch) {
  std::vector<Place> places;
  for (int64_t i = 0; i < sampler.rows_per_epoch(); ++i) places.push_back(sampler.at(epoch, i));
  return places;
}

std::map<std::pair<int64_t, int64_t>, int> counted(const std::vector<Place>& places) {
  std::map<std::pair<int64_t, int64_t>, int> out;
  for (const Place& place : places) ++out[{place.source, place.row}];
  return out;
}

TEST(Sampler, AnEpochHasEveryRowOnceInAnOrderOfItsOwn) {
  const Sampler sampler({30, 20});
  const auto first = epoch_of(sampler, 0), second = epoch_of(sampler, 1);
  EXPECT_EQ(counted(first).size(), 50U);
  EXPECT_EQ(counted(first), counted(second));
  EXPECT_NE(first, second);
  EXPECT_NE(first, epoch_of(Sampler({30, 20}, {.seed = 43}), 0));
  EXPECT_EQ(first, epoch_of(Sampler({30, 20}), 0));
}

TEST(Sampler, GoesInOrderWithoutShuffle) {
  Sampler sampler({2, 1}, {.shuffle = false});
  EXPECT_EQ(sampler.next(4), (std::vector<Place>{{0, 0}, {0, 1}, {1, 0}, {0, 0}}));
  EXPECT_EQ(sampler.epoch(), 1);
  EXPECT_EQ(sampler.position(), 1);
}

TEST(Sampler, WeightsAreHowOftenAnEpochGoesThroughASource) {
  const Sampler sampler({10, 10}, {.weights = {2.5, 0.5}});
  EXPECT_EQ(sampler.rows_per_epoch(), 30);
  std::set<int64_t> seen;
  for (int64_t epoch = 0; epoch < 8; ++epoch) {
    std::map<int, int> with_count;
    for (const auto& [place, count] : counted(epoch_of(sampler, epoch))) {
      if (place.first == 0) ++with_count[count];
      if (place.first == 1) {
        EXPECT_EQ(count, 1);
        seen.insert(place.second);
      }
    }
    EXPECT_EQ(with_count, (std::map<int, int>{{2, 5}, {3, 5}}));
  }
  EXPECT_EQ(seen.size(), 10U);  // another half each epoch
}

/// Keeps integers by name, or gives them back.
class Archive final : public PlainParts {
 public:
  bool load = false;
  std::map<std::string, int64_t> values;
  void number(const std::string&, double&) override {}
  void integer(const std::string& name, int64_t& value) override {
    if (load) value = values.at(name);
    values[name] = value;
  }
  void text(const std::string&, std::string&) override {}
  void rows(const std::string&, std::map<std::string, double>&) override {}

 protected:
  void enter(const std::string&) override {}
  void leave() override {}
};

TEST(Sampler, GoesOnWhereItWas) {
  Sampler sampler({7, 5}, {.weights = {1, 1.5}});
  sampler.next(20);
  Archive archive;
  sampler.parts(archive);
  EXPECT_EQ(archive.values.size(), 2U);
  const auto expected = sampler.next(30);

  Sampler resumed({7, 5}, {.weights = {1, 1.5}});
  resumed.next(3);
  archive.load = true;
  resumed.parts(archive);
  EXPECT_EQ(resumed.next(30), expected);
}

TEST(Sampler, RefusesWeightsThatMakeNoSense) {
  for (const std::vector<double>& weights :
       {std::vector<double>{1}, {-1, 1}, {0, 0}, {1e300, 1}, {NAN, 1}}) {
    test::refusal(Kind::settings, [&] { Sampler sampler({5, 5}, {.weights = weights}); });
  }
}

}  // namespace
}  // namespace guerdon::data
