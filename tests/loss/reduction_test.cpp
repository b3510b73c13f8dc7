#include "guerdon/loss/reduction.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

namespace guerdon::loss {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Three sequences of 2, 0 and 3 targets; the last target of the third has weight 0.
Targets targets() {
  Targets t;
  t.row = at::tensor(std::vector<int64_t>{0, 0, 2, 2, 2});
  t.weight = at::tensor(std::vector<float>{1, 1, 1, 2, 0});
  return t;
}
const Totals kWhole{.groups = 3, .rows = 3, .targets = 4, .target_weight = 5};
Tensor values() { return at::tensor(std::vector<double>{1, 3, 5, 7, kNaN}, at::kDouble); }

TEST(Reduce, WorkedByHand) {
  // Row sums: 4, 0, 5 + 14 = 19; row weights: 2, 0, 3.
  EXPECT_NEAR(reduce(values(), targets(), Reduction::token_mean, kWhole).item<double>(), 23.0 / 5,
              1e-12);
  EXPECT_NEAR(reduce(values(), targets(), Reduction::sequence_mean, kWhole).item<double>(),
              (2.0 + 19.0 / 3) / 3, 1e-12);
  EXPECT_NEAR(reduce(values(), targets(), Reduction::sequence_sum, kWhole).item<double>(), 23.0 / 3,
              1e-12);
  EXPECT_NEAR(reduce(values(), targets(), Reduction::fixed_length, kWhole, 4).item<double>(),
              23.0 / 12, 1e-12);
}

TEST(Reduce, ATokenOfWeightZeroReachesNeitherValueNorGradient) {
  const Tensor v = values().requires_grad_();
  for (const Reduction r : {Reduction::token_mean, Reduction::sequence_mean,
                            Reduction::sequence_sum, Reduction::fixed_length}) {
    v.mutable_grad() = Tensor();
    reduce(v, targets(), r, kWhole, 4).backward();
    EXPECT_TRUE(v.grad().isfinite().all().item<bool>());
    EXPECT_EQ(v.grad()[4].item<double>(), 0.0);
  }
}

TEST(Reduce, SharesOfTheSequencesAddUp) {
  Targets first = targets(), third = targets();
  first.row = first.row.slice(0, 0, 2);
  first.weight = first.weight.slice(0, 0, 2);
  third.row = third.row.slice(0, 2) - 2;
  third.weight = third.weight.slice(0, 2);
  for (const Reduction r : {Reduction::token_mean, Reduction::sequence_mean,
                            Reduction::sequence_sum, Reduction::fixed_length}) {
    const double whole = reduce(values(), targets(), r, kWhole, 4).item<double>();
    const double parts = reduce(values().slice(0, 0, 2), first, r, kWhole, 4).item<double>() +
                         reduce(values().slice(0, 2), third, r, kWhole, 4).item<double>();
    EXPECT_NEAR(whole, parts, 1e-12);
  }
}

TEST(Reduce, AStepWithoutTargetsIsZero) {
  Targets none;
  none.row = at::empty({0}, at::kLong);
  none.weight = at::empty({0}, at::kFloat);
  const Totals whole{.rows = 2};
  for (const Reduction r : {Reduction::token_mean, Reduction::sequence_mean,
                            Reduction::sequence_sum, Reduction::fixed_length}) {
    EXPECT_EQ(reduce(at::empty({0}, at::kDouble), none, r, whole, 4).item<double>(), 0.0);
  }
}

TEST(RowSums, GiveZeroForASequenceWithoutTargets) {
  const Tensor sums = row_sums(values(), targets(), 3);
  EXPECT_EQ(sums[0].item<double>(), 4.0);
  EXPECT_EQ(sums[1].item<double>(), 0.0);
  EXPECT_EQ(sums[2].item<double>(), 19.0);
  EXPECT_EQ(row_weights(targets(), 3)[2].item<float>(), 3.0f);
}

TEST(TotalsOf, CountsAStepAndLeavesMissingNumbersOut) {
  Batch batch;
  batch.sequences.last = at::zeros({3}, at::kLong);
  batch.sequences.targets = targets();
  batch.group = {0, 1, 3};
  batch.columns["margin"] = at::tensor(std::vector<double>{0.5, kNaN, 2.0});
  const Totals totals = totals_of(batch);
  EXPECT_EQ(totals.groups, 2);
  EXPECT_EQ(totals.rows, 3);
  EXPECT_EQ(totals.targets, 4);
  EXPECT_EQ(totals.target_weight, 5);
  EXPECT_EQ(totals.columns.at("margin"), 2.5);
  const Totals twice = totals + totals;
  EXPECT_EQ(twice.target_weight, 10);
  EXPECT_EQ(twice.columns.at("margin"), 5.0);
}

}  // namespace
}  // namespace guerdon::loss
