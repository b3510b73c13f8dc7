#include "guerdon/model/readout.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace guerdon::model {
namespace {

Tensor rows(const std::vector<std::vector<double>>& values) {
  std::vector<Tensor> out;
  for (const std::vector<double>& row : values) out.push_back(at::tensor(row, at::kDouble));
  return at::stack(out);
}
double number(const Tensor& t) { return t.item<double>(); }

double combined(const std::vector<double>& scores, const MemberOptions& options) {
  return number(combine_members({rows({scores}), {}}, options).value);
}

TEST(CombineMembers, WorkedNumbersOfHelpingOrHerding) {
  const std::vector<double> scores{1, 2, 4, .5, 1.5};
  EXPECT_NEAR(combined(scores, {.combine = "mean"}), 1.8, 1e-12);
  EXPECT_NEAR(combined(scores, {.combine = "median"}), 1.5, 1e-12);
  EXPECT_NEAR(combined(scores, {.combine = "min"}), .5, 1e-12);
  EXPECT_NEAR(combined(scores, {.combine = "mean_minus_deviation"}), .591695, 6e-7);
  // The median of an even number is the mean of the two in the middle.
  EXPECT_NEAR(combined({4, 1, 3, 1.5}, {.combine = "median"}), 2.25, 1e-12);
  // One member that everything moves on does not move the median's order as a mean's.
  EXPECT_LT(combined({1, 2, 9}, {.combine = "median"}),
            combined({3, 2.5, 4}, {.combine = "median"}));
  EXPECT_GT(combined({6, 2, 9}, {.combine = "median"}),
            combined({8, 2.5, 4}, {.combine = "median"}));
}

TEST(CombineMembers, IdenticalMembersAreOneWhateverIsCombined) {
  for (const std::string& combine : member_combinations()) {
    const Numbers one = combine_members({rows({{.7, .7, .7}}), {}}, {.combine = combine});
    EXPECT_NEAR(number(one.value), .7, 1e-12) << combine;
    EXPECT_NEAR(number(one.deviation), 0, 1e-12);
  }
  double last = 1e9;
  for (const double c : {0.0, .5, 1.0, 3.0}) {
    const double now =
        combined({1, 2, 4}, {.combine = "mean_minus_deviation", .deviation_weight = c});
    EXPECT_LT(now, last);
    last = now;
  }
}

TEST(CombineMembers, WorkedNumbersOfBrme) {
  const Numbers members{rows({{1.0, .4, .7}}), rows({{.2, .5, .9}})};
  const auto at = [&](double nominal) {
    return number(combine_members(members, {.combine = "robust", .nominal_weight = nominal}).value);
  };
  EXPECT_NEAR(at(.6), .76, 1e-12);
  EXPECT_NEAR(at(1), 1.0, 1e-12);
  EXPECT_NEAR(at(0), .4, 1e-12);
  // Equally sure: the first. Without deviations: the mean.
  const Numbers tied{members.value, rows({{.2, .2, .2}})}, bare{members.value, {}};
  const MemberOptions nominal{.combine = "robust", .nominal_weight = 1};
  EXPECT_NEAR(number(combine_members(tied, nominal).value), 1.0, 1e-12);
  EXPECT_NEAR(number(combine_members(bare, nominal).value), .7, 1e-12);
  // The mixture's deviation: of the means, and of each.
  EXPECT_NEAR(number(combine_members(members, {}).deviation),
              std::sqrt(.06 + (.04 + .25 + .81) / 3), 1e-12);
}

Readout two_members() {
  return {.names = {"a", "b"},
          .weights = {1, .5},
          .form = {.name = "gaussian", .points = {}, .least_deviation = .1},
          .members = 2,
          .combination = {.combine = "min"}};
}

TEST(Readout, OfAnEnsembleOfSeveralUncertainNumbers) {
  const Readout r = two_members();
  ASSERT_EQ(r.outputs(), 8);
  EXPECT_EQ(r.labels()[1], "member0/a/raw_deviation");
  EXPECT_EQ(r.labels()[6], "member1/b");
  EXPECT_FALSE(r.is_linear());
  // Members score 1 + 2 / 2 and 3 - 1 / 2.
  const Tensor outputs = rows({{1, 0, 2, 0, 3, 0, -1, 0}});
  const double s = std::log(2) + .1, own = s * std::sqrt(1.25);
  EXPECT_NEAR(number(score_of(outputs, r)), 2, 1e-12);
  const Judgement said = judge(outputs, r);
  EXPECT_EQ(said.names, (std::vector<std::string>{"mean", "member0", "member1", "a", "b"}));
  EXPECT_TRUE(at::allclose(said.numbers, rows({{2.25, 2, 2.5, 2, .5}})));
  EXPECT_TRUE(
      at::allclose(said.deviation, rows({{std::sqrt(.0625 + own * own), own, own,
                                          std::sqrt(1 + s * s), std::sqrt(2.25 + s * s)}})));
}

TEST(Readout, ALinearScoreIsTheSumOfItsOutputsWithTheirWeights) {
  Readout r = two_members();
  r.combination.combine = "mean";
  const Tensor outputs = at::arange(16, at::kDouble).view({2, 8}).sin();
  for (const char* form : {"value", "gaussian", "quantiles"}) {
    r.form.name = form;
    r.form.points = {.2, .8};
    const Tensor own = outputs.narrow(1, 0, r.outputs()).contiguous();
    ASSERT_TRUE(r.is_linear());
    EXPECT_TRUE(
        at::allclose(score_of(own, r), (own * at::tensor(r.output_weights(), at::kDouble)).sum(1)))
        << form;
  }
}

TEST(Readout, NamesOfWhatOneModelSays) {
  const Tensor outputs = rows({{1, 3}});
  EXPECT_TRUE(judge(rows({{5}}), {}).names.empty());
  const Judgement two = judge(outputs, {.names = {"a", "b"}, .weights = {.5, .5}});
  EXPECT_EQ(two.names, (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(two.deviation.defined());
  const Judgement quantiles =
      judge(outputs, {.names = {"a"}, .form = {.name = "quantiles", .points = {.25, .75}}});
  EXPECT_EQ(quantiles.names, (std::vector<std::string>{"a", "a/0.25", "a/0.75"}));
  EXPECT_TRUE(at::equal(quantiles.numbers, rows({{2, 1, 3}})));
}

TEST(Readout, ARowDoesNotDependOnTheOthers) {
  const Tensor outputs = at::arange(80, at::kFloat).view({10, 8}).cos();
  for (const std::string& combine : member_combinations()) {
    Readout r = two_members();
    r.combination.combine = combine;
    const Tensor together = judge(outputs, r).numbers;
    for (int64_t i = 0; i < 10; ++i)
      EXPECT_TRUE(at::equal(judge(outputs.narrow(0, i, 1), r).numbers, together.narrow(0, i, 1)));
  }
}

}  // namespace
}  // namespace guerdon::model
