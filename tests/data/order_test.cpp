#include "guerdon/data/order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "support/errors.h"

namespace guerdon::data {
namespace {

std::vector<Place> rows(int64_t source, int64_t count, int64_t first = 0) {
  std::vector<Place> out;
  for (int64_t i = 0; i < count; ++i) out.push_back({source, first + i});
  return out;
}

std::vector<Group> epoch_of(const Order& order, int64_t epoch) {
  std::vector<Group> out;
  for (int64_t i = 0; i < order.size(); ++i) out.push_back(order.at(epoch, i));
  return out;
}

TEST(InTurn, AnyRoundHasOneOfEachAndTheLargestGoesThroughOnce) {
  const auto order = in_turn({rows(0, 7), rows(1, 3), rows(2, 5)});
  ASSERT_EQ(order->size(), 21);
  const std::vector<Group> first = epoch_of(*order, 0);
  std::map<int64_t, int64_t> of_largest, of_smallest;
  for (size_t i = 0; i < first.size(); ++i) {
    ASSERT_EQ(first[i].size(), 1u);
    EXPECT_EQ(first[i][0].source, static_cast<int64_t>(i % 3));
    if (i % 3 == 0) ++of_largest[first[i][0].row];
    if (i % 3 == 1) ++of_smallest[first[i][0].row];
  }
  EXPECT_EQ(of_largest.size(), 7u);
  EXPECT_EQ(of_smallest.size(), 3u);
  for (const auto& [row, count] : of_smallest) EXPECT_GE(count, 2) << row;
  EXPECT_NE(epoch_of(*order, 1), first);
  EXPECT_EQ(epoch_of(*order, 0), first) << "also after another epoch was asked for";
  EXPECT_NE(epoch_of(*in_turn({rows(0, 7), rows(1, 3), rows(2, 5)}, {.seed = 1}), 0), first);
}

TEST(InTurn, GoesInOrderWithoutShuffle) {
  const auto order = in_turn({rows(0, 1), rows(1, 2)}, {.shuffle = false});
  EXPECT_EQ(epoch_of(*order, 3), (std::vector<Group>{{{0, 0}}, {{1, 0}}, {{0, 0}}, {{1, 1}}}));
}

/// Which pairs of (kind, kind) there are, and how many; `kind` of a row is its source.
struct Counted {
  std::set<std::pair<int64_t, int64_t>> different;
  int64_t wins = 0, ties = 0;
};

Counted counted(const Order& order, int64_t epoch) {
  // Sources 0, 2, ... passed, 1, 3, ... failed.
  Counted out;
  for (const Group& group : epoch_of(order, epoch)) {
    EXPECT_EQ(group.size(), 2u);
    EXPECT_EQ(group[0].source % 2, 0) << "the better one stands first";
    EXPECT_EQ(group[0].source / 2, group[1].source / 2) << "both are of a kind";
    ++(group[1].source % 2 == 1 ? out.wins : out.ties);
    const auto number = [](const Place& p) { return 100 * p.source + p.row; };
    const int64_t a = number(group[0]), b = number(group[1]);
    EXPECT_NE(a, b);
    out.different.insert({std::min(a, b), std::max(a, b)});
  }
  return out;
}

TEST(PairsAcross, AreDifferentAndUseEveryRow) {
  const auto order =
      pairs_across({{rows(0, 6), rows(1, 4)}, {rows(2, 2), rows(3, 5)}}, 1.5, {}, "x");
  for (const int64_t epoch : {0, 1}) {
    const Counted found = counted(*order, epoch);
    EXPECT_EQ(found.wins, 6 + 5);
    EXPECT_EQ(found.ties, 9 + 1) << "two rows that passed make one tie";
    EXPECT_EQ(found.different.size(), static_cast<size_t>(order->size()));
  }
  std::set<std::pair<int64_t, int64_t>> used;
  for (const Group& group : epoch_of(*order, 0))
    for (const Place& place : group) used.insert({place.source, place.row});
  EXPECT_EQ(used.size(), 17u);
  EXPECT_NE(epoch_of(*order, 0), epoch_of(*order, 1));
}

TEST(PairsAcross, AllTiesThatThereAreAreDifferent) {
  for (const int64_t passed : {2, 3, 4, 7, 8}) {
    const auto order = pairs_across({{rows(0, passed), rows(1, 1)}}, 1e6, {}, "x");
    EXPECT_EQ(counted(*order, 0).ties, passed * (passed - 1) / 2);
    EXPECT_EQ(counted(*order, 0).different.size(), static_cast<size_t>(order->size()));
  }
}

TEST(PairsAcross, NeedRowsOfBothSides) {
  EXPECT_EQ(test::refusal(Kind::input,
                          [] {
                            pairs_across({{rows(0, 3), {}}, {{}, rows(1, 3)}}, 1, {}, "rows.jsonl");
                          }),
            "rows.jsonl: no pair can be made: no kind of rows has both passed and failed ones");
}

TEST(EasyFirst, IsAMixtureUntilItIsKnownWhatIsEasy) {
  const EasyFirst order({5, 3}, 4, {});
  EXPECT_EQ(epoch_of(order, 0), epoch_of(*mixture({5, 3}), 0));
  EXPECT_EQ(epoch_of(order, 2), epoch_of(*mixture({5, 3}), 2));
}

TEST(EasyFirst, GoesThroughItsBucketsInOrder) {
  EasyFirst order({5, 3}, 4, {});
  const std::vector<double> ease = {1, 8, 3, NAN, 5, 2, 7, 6};
  order.set_ease(ease);
  const auto ease_of = [&](const Group& g) {
    return ease[static_cast<size_t>(g[0].source == 0 ? g[0].row : 5 + g[0].row)];
  };
  std::vector<Group> orders[2];
  for (const int64_t epoch : {1, 2}) {
    const std::vector<Group>& found = orders[epoch - 1] = epoch_of(order, epoch);
    ASSERT_EQ(found.size(), 8u);
    for (size_t bucket = 0; bucket < 4; ++bucket) {
      if (bucket == 3) break;
      const std::set<double> both = {ease_of(found[2 * bucket]), ease_of(found[2 * bucket + 1])};
      const std::set<double> expected[] = {{8, 7}, {6, 5}, {3, 2}};
      EXPECT_EQ(both, expected[bucket]);
    }
    const std::vector<Group> last = {found[6], found[7]};
    EXPECT_TRUE(std::any_of(last.begin(), last.end(),
                            [&](const Group& g) { return std::isnan(ease_of(g)); }));
  }
  EXPECT_NE(orders[0], orders[1]);
}

TEST(EasyFirst, WithABucketForEachRowIsSorted) {
  EasyFirst order({4}, 4, {});
  order.set_ease({0.5, 2, 2, -1});
  EXPECT_EQ(epoch_of(order, 0), (std::vector<Group>{{{0, 1}}, {{0, 2}}, {{0, 0}}, {{0, 3}}}));
}

}  // namespace
}  // namespace guerdon::data
