#include <gtest/gtest.h>

#include <cmath>

#include "guerdon/base/error.h"
#include "guerdon/base/random.h"
#include "guerdon/model/batch.h"
#include "support/errors.h"

namespace guerdon {
namespace {

std::vector<int64_t> numbers(const Tensor& tensor) {
  return {tensor.data_ptr<int64_t>(), tensor.data_ptr<int64_t>() + tensor.numel()};
}
std::vector<float> floats(const Tensor& tensor) {
  return {tensor.data_ptr<float>(), tensor.data_ptr<float>() + tensor.numel()};
}
using Ids = std::vector<int64_t>;

// The tokens of a row as the model sees them: its ancestors', then its own.
Ids tokens_of(const PackedBatch& batch, int64_t row) {
  const Ids tokens = numbers(batch.tokens);
  const auto at = std::find_if(batch.segments.begin(), batch.segments.end(),
                               [&](const Segment& s) { return s.row == row; });
  Ids out(tokens.begin() + at->begin, tokens.begin() + at->end);
  for (int64_t p = at->parent; p >= 0; p = batch.segments[p].parent)
    out.insert(out.begin(), tokens.begin() + batch.segments[p].begin,
               tokens.begin() + batch.segments[p].end);
  return out;
}

TEST(Pack, PutsTheSharedPrefixOfAPairOnce) {
  const std::vector<Sequence> pair{{.tokens = {1, 2, 3, 4, 5}, .weight = {0, 0, 0, 1, 1}},
                                   {.tokens = {1, 2, 3, 6}, .weight = {0, 0, 0, 1}}};
  const Ids offsets{0, 2};
  const PackedBatch batch = pack(pair, offsets);
  EXPECT_EQ(numbers(batch.tokens), (Ids{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(numbers(batch.positions), (Ids{0, 1, 2, 3, 4, 3}));
  ASSERT_EQ(batch.segments.size(), 3U);
  EXPECT_EQ(batch.segments[1].parent, 0);
  EXPECT_EQ(batch.segments[2].parent, 0);
  EXPECT_EQ(numbers(batch.last), (Ids{4, 5}));
  // The first token of each response is predicted by the parent's last row.
  EXPECT_EQ(numbers(batch.targets.source), (Ids{2, 3, 2}));
  EXPECT_EQ(numbers(batch.targets.token), (Ids{4, 5, 6}));
  EXPECT_EQ(numbers(batch.targets.row), (Ids{0, 0, 1}));
  EXPECT_EQ(unshared_tokens(batch), 9);
}

TEST(Pack, LeavesEverySequenceWithTargetsATokenOfItsOwn) {
  const std::vector<Sequence> same{{.tokens = {7, 8}, .weight = {0, 1}},
                                   {.tokens = {7, 8}, .weight = {0, 1}},
                                   {.tokens = {7, 8, 9}, .weight = {0, 1, 1}}};
  const Ids offsets{0, 3};
  const PackedBatch batch = pack(same, offsets);
  EXPECT_EQ(numbers(batch.tokens), (Ids{7, 8, 8, 8, 9}));
  EXPECT_EQ(numbers(batch.last), (Ids{1, 2, 4}));
}

TEST(Pack, SharesNothingAcrossGroupsOrWhenToldNotTo) {
  const std::vector<Sequence> two{{.tokens = {1, 2}}, {.tokens = {1, 3}}};
  EXPECT_EQ(pack(two, {}).tokens.size(0), 4);
  const Ids offsets{0, 2};
  EXPECT_EQ(pack(two, offsets, {.share_prefixes = false}).tokens.size(0), 4);
  EXPECT_EQ(pack(two, offsets).tokens.size(0), 3);
}

TEST(Pack, GivesATargetOfTheSharedPrefixToEachRow) {
  const std::vector<Sequence> pair{{.tokens = {1, 2, 3}, .weight = {9, 0.5, 1}},
                                   {.tokens = {1, 2, 4}, .weight = {9, 1, 0}}};
  const Ids offsets{0, 2};
  const PackedBatch batch = pack(pair, offsets);
  EXPECT_EQ(numbers(batch.targets.source), (Ids{0, 1, 0}));
  EXPECT_EQ(numbers(batch.targets.row), (Ids{0, 0, 1}));
  EXPECT_EQ(floats(batch.targets.weight), (std::vector<float>{0.5, 1, 1}));
}

TEST(Pack, FillsAColumnThatASequenceLacksWithNan) {
  const std::vector<Sequence> two{
      {.tokens = {1, 2}, .weight = {0, 1}, .columns = {{"old", {0, -1.5}}}},
      {.tokens = {1, 3}, .weight = {0, 1}, .turn = {0, 2}}};
  const PackedBatch batch = pack(two, {});
  const auto old = floats(batch.targets.columns.at("old"));
  EXPECT_EQ(old[0], -1.5F);
  EXPECT_TRUE(std::isnan(old[1]));
  EXPECT_EQ(numbers(batch.targets.turn), (Ids{0, 2}));
}

TEST(Pack, OfNothingIsEmpty) {
  const PackedBatch batch = pack({}, {});
  EXPECT_EQ(batch.rows(), 0);
  EXPECT_EQ(batch.tokens.size(0), 0);
  EXPECT_EQ(batch.targets.source.size(0), 0);
}

TEST(Pack, RefusesWhatDoesNotFit) {
  const std::vector<Sequence> empty{{.tokens = {}}};
  EXPECT_NE(test::refusal(Kind::bug, [&] { pack(empty, {}); }).find("sequence 0 is empty"),
            std::string::npos);
  const std::vector<Sequence> uneven{{.tokens = {1, 2}, .weight = {1}}};
  test::refusal(Kind::bug, [&] { pack(uneven, {}); });
  const std::vector<Sequence> one{{.tokens = {1}}};
  const Ids beyond{0, 2};
  test::refusal(Kind::bug, [&] { pack(one, beyond); });
}

// Random groups; every row of what take() gives must be the row that it was, with all that belongs
// to it.
TEST(Take, PacksTheRowsOfTheChosenGroupsAnew) {
  Random random(5, Purpose::data);
  std::vector<Sequence> sequences;
  Ids offsets{0};
  for (int g = 0; g < 12; ++g) {
    Ids prompt;
    for (uint64_t i = 0, n = random.next_below(6); i < n; ++i)
      prompt.push_back(static_cast<int64_t>(random.next_below(9)));
    for (uint64_t r = 0, n = 1 + random.next_below(4); r < n; ++r) {
      Sequence s{.tokens = prompt};
      for (uint64_t i = 0, m = 1 + random.next_below(5); i < m; ++i)
        s.tokens.push_back(static_cast<int64_t>(random.next_below(9)));
      for (size_t i = 0; i < s.tokens.size(); ++i) {
        s.weight.push_back(random.next_below(3) == 0 ? 0.0F : 1.0F);
        s.columns["tag"].push_back(static_cast<float>(sequences.size() * 100 + i));
      }
      sequences.push_back(s);
    }
    offsets.push_back(static_cast<int64_t>(sequences.size()));
  }
  Batch batch{.sequences = pack(sequences, offsets), .group = offsets};
  batch.columns["margin"] = at::arange(static_cast<int64_t>(sequences.size()), at::kFloat);
  for (int g = 0; g < 12; ++g) batch.ids.push_back("g" + std::to_string(g));

  const Ids chosen{7, 2, 11};
  const Batch part = take(batch, chosen);
  EXPECT_EQ(part.ids, (std::vector<std::string>{"g7", "g2", "g11"}));
  std::vector<Sequence> expected;
  Ids expected_offsets{0};
  std::vector<float> expected_margin;
  for (const int64_t g : chosen) {
    for (int64_t r = offsets[g]; r < offsets[g + 1]; ++r) {
      expected.push_back(sequences[r]);
      expected_margin.push_back(static_cast<float>(r));
    }
    expected_offsets.push_back(static_cast<int64_t>(expected.size()));
  }
  const PackedBatch anew = pack(expected, expected_offsets);
  EXPECT_EQ(part.group, expected_offsets);
  EXPECT_EQ(floats(part.columns.at("margin")), expected_margin);
  EXPECT_TRUE(at::equal(part.sequences.tokens, anew.tokens));
  EXPECT_TRUE(at::equal(part.sequences.positions, anew.positions));
  EXPECT_TRUE(at::equal(part.sequences.last, anew.last));
  EXPECT_TRUE(at::equal(part.sequences.targets.source, anew.targets.source));
  EXPECT_TRUE(at::equal(part.sequences.targets.token, anew.targets.token));
  EXPECT_TRUE(at::equal(part.sequences.targets.row, anew.targets.row));
  EXPECT_TRUE(at::equal(part.sequences.targets.columns.at("tag"), anew.targets.columns.at("tag")));
  for (int64_t r = 0; r < part.sequences.rows(); ++r)
    EXPECT_EQ(tokens_of(part.sequences, r), expected[r].tokens);
}

TEST(Take, CarriesSoftTokensAlong) {
  const std::vector<Sequence> two{{.tokens = {1, 2}}, {.tokens = {3, 4}}};
  Batch batch{.sequences = pack(two, {}), .group = {0, 1, 2}};
  batch.sequences.soft =
      SoftTokens{at::tensor({0, 3}, at::kLong), at::tensor({0.5, 0.7}, at::kFloat).view({2, 1})};
  const Ids second{1};
  const Batch part = take(batch, second);
  ASSERT_TRUE(part.sequences.soft.has_value());
  EXPECT_EQ(numbers(part.sequences.soft->at), (Ids{1}));
  EXPECT_FLOAT_EQ(part.sequences.soft->values.item<float>(), 0.7F);
}

TEST(Take, RefusesAGroupThatIsNotThere) {
  const std::vector<Sequence> one{{.tokens = {1}}};
  const Batch batch{.sequences = pack(one, {}), .group = {0, 1}};
  const Ids beyond{1}, twice{0, 0};
  test::refusal(Kind::bug, [&] { take(batch, beyond); });
  test::refusal(Kind::bug, [&] { take(batch, twice); });
}

TEST(Pack, ABeginningOfAnotherLiesInsideIt) {
  const std::vector<Sequence> rows{{.tokens = {7, 8}},    {.tokens = {7, 8, 9, 1}},
                                   {.tokens = {7}},       {.tokens = {7, 8, 5}},
                                   {.tokens = {7, 8, 9}}, {.tokens = {4}}};
  const std::vector<int64_t> offsets{0, 5, 6};
  const PackedBatch packed = pack(rows, offsets);
  // The two that stand alone share 7 8; then the other group.
  EXPECT_EQ(packed.tokens.size(0), 2 + 2 + 1 + 1);
  EXPECT_EQ(unshared_tokens(packed), 2 + 4 + 1 + 3 + 3 + 1);
  for (int64_t row = 0; row < 6; ++row) {
    const std::vector<int64_t>& own = rows[static_cast<size_t>(row)].tokens;
    const int64_t last = packed.last[row].item<int64_t>();
    EXPECT_EQ(packed.tokens[last].item<int64_t>(), own.back()) << row;
    EXPECT_EQ(packed.positions[last].item<int64_t>(), static_cast<int64_t>(own.size()) - 1) << row;
  }
  Batch batch{.sequences = packed, .columns = {}, .group = offsets, .plan = {}, .ids = {}};
  const std::vector<int64_t> second{1}, both{1, 0};
  EXPECT_EQ(take(batch, second).sequences.tokens.size(0), 1);
  const PackedBatch turned = take(batch, both).sequences;
  for (int64_t row = 0; row < 6; ++row)
    EXPECT_EQ(turned.tokens[turned.last[row]].item<int64_t>(),
              rows[row == 0 ? 5 : static_cast<size_t>(row) - 1].tokens.back());
  // One with targets, and whatever must not be shared, keeps its own.
  std::vector<Sequence> trained = rows;
  trained[0].weight = {0, 1};
  EXPECT_EQ(pack(trained, offsets).tokens.size(0), 1 + 1 + 3 + 2 + 1);
  EXPECT_EQ(pack(rows, offsets, {.share_prefixes = false}).tokens.size(0), 14);
}

}  // namespace
}  // namespace guerdon
