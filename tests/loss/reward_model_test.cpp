// Numbers in brackets name the method: [2] ReMoDetect, [6] HelpSteer2-Preference, [11] SoliReward,
// [34] Secrets of RLHF II, [40] BaseReward, [49] BRME, [54] VideoAlign, [61] POWER-DL.
#include "guerdon/loss/reward_model.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "support/errors.h"

namespace guerdon::loss {
namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();

Tensor row(std::vector<double> values) { return at::tensor(values, at::kDouble); }

/// The loss of one pair whose scores differ by `difference`.
double loss_at(double difference, const PairOptions& options = {}, const Columns& columns = {}) {
  return pair_loss({row({difference}), row({0})}, columns, options).item<double>();
}

double slope_at(double difference, const PairOptions& options = {}, const Columns& columns = {}) {
  const Tensor chosen = row({difference}).requires_grad_();
  pair_loss({chosen, row({0})}, columns, options).sum().backward();
  return chosen.grad().item<double>();
}

constexpr double kSixDigits = 6e-7;

// ---- TRL -------------------------------------------------------------------------------------

struct Case {
  PairScores scores{row({1.2, -.3}).requires_grad_(), row({.4, .1}).requires_grad_()};
  double mean(const Columns& columns = {}, std::optional<double> centring = {}) {
    const Tensor loss = pair_loss(scores, columns, {.center_rewards_coefficient = centring}).mean();
    loss.backward();
    return loss.item<double>();
  }
  void expect_gradient(double chosen1, double chosen2, double rejected1, double rejected2) {
    EXPECT_NEAR(scores.chosen.grad()[0].item<double>(), chosen1, kSixDigits);
    EXPECT_NEAR(scores.chosen.grad()[1].item<double>(), chosen2, kSixDigits);
    EXPECT_NEAR(scores.rejected.grad()[0].item<double>(), rejected1, kSixDigits);
    EXPECT_NEAR(scores.rejected.grad()[1].item<double>(), rejected2, kSixDigits);
  }
};

// Values and gradients of TRL 1.16's own loss code, float64.
TEST(BradleyTerry, AgreesWithTrl) {
  Case c;
  EXPECT_NEAR(c.mean(), .642058, kSixDigits);
  c.expect_gradient(-.155013, -.299344, .155013, .299344);
}

TEST(BradleyTerry, AgreesWithTrlWithMargins) {
  Case c;
  EXPECT_NEAR(c.mean({{"margin", row({.5, .2})}}), .795922, kSixDigits);
  c.expect_gradient(-.212779, -.322828, .212779, .322828);
}

TEST(BradleyTerry, AgreesWithTrlWithCentring) {
  Case c;
  EXPECT_NEAR(c.mean({}, .01), .655058, kSixDigits);
  c.expect_gradient(-.139013, -.301344, .171013, .297344);
  EXPECT_NEAR(Case().mean({{"margin", row({.5, .2})}}, .01), .808922, kSixDigits);
}

TEST(BradleyTerry, AgreesWithTrlOnATie) {
  EXPECT_NEAR(pair_loss({row({1, 2}), row({1, 0})}).mean().item<double>(), .410038, kSixDigits);
}

TEST(BradleyTerry, AMissingMarginIsZero) {
  EXPECT_NEAR(Case().mean({{"margin", row({kNan, kNan})}}), .642058, kSixDigits);
}

TEST(BradleyTerry, StaysFiniteForScoresFarApart) {
  for (const char* type : {"bradley_terry", "probit"}) {
    const Tensor chosen = row({-1e6}).requires_grad_();
    const Tensor loss =
        pair_loss({chosen, row({1e6})}, {}, {.loss_type = type, .label_smoothing = 0.1}).sum();
    loss.backward();
    EXPECT_TRUE(std::isfinite(loss.item<double>())) << type;
    EXPECT_LT(chosen.grad()[0].item<double>(), 0.0) << type;
  }
  EXPECT_EQ(loss_at(-2e6), 2e6);
  EXPECT_EQ(slope_at(-2e6), -1.0);
}

// ---- strength and margins ----------------------------------------------------------------------

TEST(PairLoss, StrengthScalesOrIsTheMargin) {  // [6]
  const double plain = .474077;
  const struct {
    double strength, margin, scaled;
  } expected[] = {{1, .974077, .474077}, {2, 1.701413, .948154}, {3, 2.578890, 1.422231}};
  for (const auto& e : expected) {
    const Columns columns = {{"strength", row({e.strength})}};
    EXPECT_NEAR(loss_at(.5, {}, columns), plain, kSixDigits) << "ignored";
    EXPECT_NEAR(loss_at(.5, {.strength = "margin"}, columns), e.margin, kSixDigits);
    EXPECT_NEAR(loss_at(.5, {.strength = "scale"}, columns), e.scaled, kSixDigits);
  }
  const Columns two = {{"strength", row({2})}};
  EXPECT_NEAR(slope_at(.5, {}, two), -.377541, kSixDigits);
  EXPECT_NEAR(slope_at(.5, {.strength = "margin"}, two), -.817574, kSixDigits);
  EXPECT_NEAR(slope_at(.5, {.strength = "scale"}, two), -.755081, kSixDigits);
  const Tensor batch =
      pair_loss({row({.5, -1}), row({0, 0})}, {{"strength", row({2, 1})}}, {.strength = "scale"});
  EXPECT_NEAR(batch.mean().item<double>(), 1.130708, kSixDigits);
}

TEST(PairLoss, AStrengthOfOneEverywhereIsPlainBradleyTerry) {
  EXPECT_EQ(loss_at(.7, {.strength = "scale"}, {{"strength", row({1})}}), loss_at(.7));
}

TEST(PairLoss, TheScoresSizeIsHeldDown) {  // [2]
  const PairOptions options{.score_penalty = .01};
  const auto at = [&](double a, double b) {
    return pair_loss({row({a}), row({b})}, {}, options).item<double>();
  };
  EXPECT_NEAR(.3 * at(2, 1), .101479, kSixDigits);
  EXPECT_NEAR(at(2, -.5), .100140, kSixDigits);
  EXPECT_NEAR(.3 * at(1, -.5), .062299, kSixDigits);
}

TEST(PairLoss, CentringIsZeroForOppositeScores) {  // [40]
  const auto centring = [](double a, double b) {
    const PairScores scores{row({a}), row({b})};
    return (pair_loss(scores, {}, {.center_rewards_coefficient = .01}) - pair_loss(scores))
        .item<double>();
  };
  EXPECT_NEAR(loss_at(.919829 + .129508), .300230, kSixDigits);
  EXPECT_NEAR(centring(.919829, -.129508), .006246, kSixDigits);
  EXPECT_EQ(centring(.7, -.7), 0.0);
}

// ---- wrong labels ------------------------------------------------------------------------------

TEST(PairLoss, SmoothedAndFlippedAndWithAdaptiveMargins) {  // [34]
  const auto mean = [](double mu) { return Columns{{"strength_mean", row({mu})}}; };
  EXPECT_NEAR(loss_at(.8), .371101, kSixDigits);
  EXPECT_NEAR(loss_at(.8, {.adaptive_margin = true}, mean(.5)), .554355, kSixDigits);
  EXPECT_NEAR(loss_at(.8, {.adaptive_margin = true}, mean(-.1)), .341154, kSixDigits);
  EXPECT_NEAR(loss_at(.8, {.label_smoothing = .1}), .451101, kSixDigits);
  EXPECT_NEAR(loss_at(.8, {.flip_below = 0.}, mean(-.1)), 1.171101, kSixDigits);
  EXPECT_EQ(loss_at(.8, {.flip_below = 0.}, mean(.1)), loss_at(.8));
  EXPECT_NEAR(slope_at(2.197225, {.label_smoothing = .1}), 0.0, 1e-7) << "the minimum";
}

TEST(PairLoss, AFlippedPairHasTheMarginOfTheOtherOrder) {  // [34]: -mu, for d changes its sign
  const Columns columns = {{"strength_mean", row({-.3})}};
  EXPECT_NEAR(loss_at(.8, {.flip_below = 0., .adaptive_margin = true}, columns),
              std::log1p(std::exp(.8 + .3)), 1e-12);
}

TEST(PairLoss, SmoothsTheDoubtfulPairsAlone) {
  const PairOptions options{.label_smoothing = .1, .smooth_below = 0.};
  EXPECT_NEAR(loss_at(.8, options, {{"strength_mean", row({-.1})}}), .451101, kSixDigits);
  EXPECT_EQ(loss_at(.8, options, {{"strength_mean", row({.1})}}), loss_at(.8));
}

TEST(PairLoss, AFlipIsTheLossOfTheOtherOrderAndTwoAreNone) {
  const Columns low = {{"strength_mean", row({-1})}};
  EXPECT_NEAR(loss_at(.8, {.flip_below = 0.}, low), loss_at(-.8), 1e-12);
  EXPECT_NEAR(loss_at(-.8, {.flip_below = 0.}, low), loss_at(.8), 1e-12);
}

TEST(DynamicLabels, MoveTowardsWhatTheModelBelieves) {  // [61]
  const double d = 1.083333;
  const PairOptions slow{.dynamic_label_rate = .1};
  const Columns fresh = {{"label", row({kNan})}};
  EXPECT_NEAR(loss_at(d), .291524, kSixDigits);
  EXPECT_NEAR(moved_labels({row({d}), row({0})}, fresh, slow).item<double>(), .974712, kSixDigits);
  EXPECT_NEAR(loss_at(d, slow, fresh), .318919, kSixDigits);
  EXPECT_NEAR(slope_at(d), -.252876, kSixDigits);
  EXPECT_NEAR(slope_at(d, slow, fresh), -.227588, kSixDigits);
}

TEST(DynamicLabels, StandStillWhereNoneAreKeptAndReadTheOldOneWhenToldTo) {
  const PairOptions before{.dynamic_label_rate = .1},
      after{.dynamic_label_rate = .1, .dynamic_label_update = "after"};
  EXPECT_EQ(loss_at(1, before), loss_at(1)) << "an evaluation";
  EXPECT_EQ(loss_at(1, after, {{"label", row({kNan})}}), loss_at(1));
  const double l = .9;
  EXPECT_NEAR(loss_at(1, after, {{"label", row({l})}}), l * loss_at(1) + (1 - l) * loss_at(-1),
              1e-12);
  EXPECT_NEAR(slope_at(1, {.dynamic_label_rate = 1}, {{"label", row({l})}}), 0.0, 1e-15);
  // Stationary at the model's own belief.
  const double p = 1 / (1 + std::exp(-1.0));
  EXPECT_NEAR(slope_at(1, before, {{"label", row({p})}}), 0.0, 1e-15);
}

TEST(DynamicLabels, BeginWhereSmoothingAndFlipsPutThem) {
  const Columns columns = {{"label", row({kNan, .4})}, {"strength_mean", row({-1, -1})}};
  const PairOptions options{.label_smoothing = .1, .flip_below = 0., .dynamic_label_rate = .5};
  const Tensor labels = moved_labels({row({0, 0}), row({0, 0})}, columns, options);
  EXPECT_NEAR(labels[0].item<double>(), .5 * .1 + .25, 1e-12);
  EXPECT_NEAR(labels[1].item<double>(), .5 * .4 + .25, 1e-12);
}

// ---- ties and the probit -----------------------------------------------------------------------

TEST(Ties, PullScoresTogether) {  // [11]
  const Columns tie = {{"tie", row({1})}}, win = {{"tie", row({0})}};
  const auto with_margin = [](double m) {
    return PairOptions{.constant_margin = m, .ties = "win_tie"};
  };
  const struct {
    double margin, win, tie, tie_at_zero, slope;
  } expected[] = {{0, .437488, 1.474976, 1.386294, .291313},
                  {.2, .513015, 1.684116, 1.596278, kNan},
                  {3, 2.486836, 6.113793, 6.097175, .056576}};
  for (const auto& e : expected) {
    EXPECT_NEAR(loss_at(.6, with_margin(e.margin), win), e.win, kSixDigits);
    EXPECT_NEAR(loss_at(.6, with_margin(e.margin), tie), e.tie, kSixDigits);
    EXPECT_NEAR(loss_at(-.6, with_margin(e.margin), tie), e.tie, kSixDigits) << "even";
    EXPECT_NEAR(loss_at(0, with_margin(e.margin), tie), e.tie_at_zero, kSixDigits);
    if (!std::isnan(e.slope)) {
      EXPECT_NEAR(slope_at(.6, with_margin(e.margin), tie), e.slope, kSixDigits);
    }
  }
  EXPECT_NEAR(loss_at(.6, {.label_smoothing = .1, .ties = "win_tie"}, win), .497488, kSixDigits);

  const PairScores batch{row({1, .6}), row({0, 0})};
  const Columns second = {{"tie", row({0, 1})}};
  const auto mean = [&](double weight) {
    return pair_loss(batch, second, {.ties = "win_tie", .tie_weight = weight})
        .mean()
        .item<double>();
  };
  EXPECT_NEAR(mean(1), .894119, kSixDigits);
  EXPECT_NEAR(mean(.5), .525375, kSixDigits);
}

TEST(Ties, AreAThirdOutcome) {  // [54]
  const PairOptions options{.ties = "rao_kupper", .tie_theta = 5};
  const Columns tie = {{"tie", row({1})}};
  EXPECT_NEAR(loss_at(1, options), 1.043592, kSixDigits);
  EXPECT_NEAR(loss_at(1, options, tie), .545971, kSixDigits);
  for (const double d : {-2.0, 0.0, 1.0}) {
    const double win = std::exp(-loss_at(d, options)), loss = std::exp(-loss_at(-d, options)),
                 even = std::exp(-loss_at(d, options, tie));
    EXPECT_NEAR(win + loss + even, 1.0, 1e-12) << d;
  }
  EXPECT_NEAR(std::exp(-loss_at(-1, options)), .068533, kSixDigits);
  EXPECT_NEAR(std::exp(-loss_at(0, options, tie)), .666667, kSixDigits);
  EXPECT_NEAR(loss_at(1, {.ties = "rao_kupper", .tie_theta = 1 + 1e-9}), .313262, kSixDigits)
      << "no threshold: plain Bradley-Terry";
  EXPECT_EQ(loss_at(1, {}, tie), loss_at(1)) << "ignored";
}

TEST(Probit, IsTheNormalDistribution) {  // [49], both deviations fixed
  EXPECT_NEAR(std::exp(-loss_at(.8 / std::sqrt(.34), {.loss_type = "probit"})), .914967,
              kSixDigits);
  EXPECT_NEAR(loss_at(0, {.loss_type = "probit"}), std::log(2.0), 1e-12);
}

// ---- all of them -------------------------------------------------------------------------------

struct Variant {
  const char* name;
  PairOptions options;
};
void PrintTo(const Variant& v, std::ostream* out) { *out << v.name; }

std::vector<Variant> variants() {
  return {{"plain", {}},
          {"probit", {.loss_type = "probit"}},
          {"scaled", {.strength = "scale"}},
          {"margin", {.constant_margin = .3, .strength = "margin"}},
          {"weighted", {.row_weights = true}},
          {"smoothed", {.label_smoothing = .1, .smooth_below = .5}},
          {"flipped", {.flip_below = 0., .adaptive_margin = true}},
          {"dynamic", {.dynamic_label_rate = .3, .dynamic_label_update = "after"}},
          {"rao_kupper", {.ties = "rao_kupper"}},
          {"win_tie", {.constant_margin = .2, .ties = "win_tie", .tie_weight = .5}}};
}

const Columns kColumns = {{"margin", row({.1, 0, kNan})},
                          {"strength", row({1, 2, 3})},
                          {"strength_mean", row({.4, -.2, .9})},
                          {"weight", row({2, .5, 0})},
                          {"tie", row({0, 1, 0})},
                          {"label", row({.8, kNan, .3})}};

class EveryPairLoss : public testing::TestWithParam<Variant> {
 protected:
  Tensor loss(const Tensor& chosen, const Tensor& rejected) const {
    return pair_loss({chosen, rejected}, kColumns, GetParam().options);
  }
  const Tensor chosen_ = row({.3, -1.1, 2}), rejected_ = row({-.2, .4, 1.5});
};

TEST_P(EveryPairLoss, HasTheGradientOfItsValues) {
  const Tensor chosen = chosen_.clone().requires_grad_(),
               rejected = rejected_.clone().requires_grad_();
  loss(chosen, rejected).sum().backward();
  const double h = 1e-6;
  for (int64_t i = 0; i < 3; ++i) {
    Tensor step = at::zeros({3}, at::kDouble);
    step[i] = h;
    const auto difference = [&](const Tensor& up, const Tensor& down) {
      return ((up - down).sum() / (2 * h)).item<double>();
    };
    EXPECT_NEAR(chosen.grad()[i].item<double>(),
                difference(loss(chosen_ + step, rejected_), loss(chosen_ - step, rejected_)), 1e-8);
    EXPECT_NEAR(rejected.grad()[i].item<double>(),
                difference(loss(chosen_, rejected_ + step), loss(chosen_, rejected_ - step)), 1e-8);
  }
}

TEST_P(EveryPairLoss, DoesNotKnowWhereZeroIs) {
  EXPECT_FALSE(feels_shifts(GetParam().options));
  EXPECT_TRUE(at::allclose(loss(chosen_ + 5, rejected_ + 5), loss(chosen_, rejected_), 0, 1e-9));
}

TEST_P(EveryPairLoss, JudgesEachPairByItself) {
  const Tensor whole = loss(chosen_, rejected_);
  for (int64_t i = 0; i < 3; ++i) {
    Columns one;
    for (const auto& [name, values] : kColumns) one[name] = values.narrow(0, i, 1);
    const Tensor alone =
        pair_loss({chosen_.narrow(0, i, 1), rejected_.narrow(0, i, 1)}, one, GetParam().options);
    EXPECT_NEAR(alone.item<double>(), whole[i].item<double>(), 1e-12);
  }
}

TEST_P(EveryPairLoss, SaysWhatItIs) {
  const std::vector<std::string> lines = explain(GetParam().options);
  EXPECT_GE(lines.size(), 2u);
  for (const std::string& line : lines) EXPECT_EQ(line.find_first_of("{}"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Variants, EveryPairLoss, testing::ValuesIn(variants()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(PairLoss, FeelsShiftsOnlyWhereSomethingHoldsTheScores) {
  EXPECT_TRUE(feels_shifts({.center_rewards_coefficient = .01}));
  EXPECT_TRUE(feels_shifts({.score_penalty = .01}));
}

TEST(PairLoss, WeightsAndTiesDecideWhatIsCounted) {
  const PairOptions options{.row_weights = true, .ties = "win_tie"};
  const PairWeights weights = pair_weights(kColumns, options, 3);
  EXPECT_TRUE(weights.all.equal(row({2, .5, 0})));
  EXPECT_TRUE(weights.ordered.equal(row({2, 0, 0})));
  EXPECT_TRUE(pair_weights(kColumns, {}, 3).ordered.equal(row({1, 1, 1})));
  const Tensor loss = pair_loss({row({1, 1, 1}), row({0, 0, 0})}, kColumns, {.row_weights = true});
  EXPECT_NEAR(loss[0].item<double>(), 2 * loss_at(1 - .1), 1e-12);
  EXPECT_EQ(loss[2].item<double>(), 0.0);
}

TEST(PairLoss, NamesTheFieldsThatItReads) {
  const auto names = [](const PairOptions& options) {
    std::string out;
    for (const RowField& field : fields_of(options))
      out += field.name + (field.needed ? "! " : " ");
    return out;
  };
  EXPECT_EQ(names({}), "margin ");
  EXPECT_EQ(
      names({.strength = "scale", .row_weights = true, .adaptive_margin = true, .ties = "win_tie"}),
      "margin strength! weight strength_mean! tie ");
}

TEST(PairLoss, RefusesWhatCannotBeMeant) {
  const auto refused = [](const PairOptions& options) {
    return test::refusal(Kind::settings, [&] { check_pair_options(options, "reward.json"); });
  };
  EXPECT_EQ(refused({.smooth_below = 0.}),
            "reward.json: key smooth_below: does nothing while label_smoothing is 0");
  EXPECT_NE(refused({.loss_type = "probit", .ties = "rao_kupper"}).find("key ties: rao_kupper"),
            std::string::npos);
  check_pair_options({}, "reward.json");
}

}  // namespace
}  // namespace guerdon::loss
