#include "guerdon/loss/rating.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/errors.h"

namespace guerdon::loss {
namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();

Tensor row(std::vector<double> values) { return at::tensor(values, at::kDouble).unsqueeze(0); }

double mean_over(const Tensor& loss, const Tensor& ratings) {
  return (loss.sum() / ratings.isnan().logical_not().sum()).item<double>();
}

TEST(RatingLoss, IsTheMeanOverTheRatingsThatAreThere) {  // HelpSteer2
  const Tensor ratings = row({3, kNan, 4, 2, 1});
  EXPECT_NEAR(mean_over(rating_loss(row({3.2, 2.9, 3.5, 1.8, 1.1}), ratings), ratings), .085,
              1e-12);
}

TEST(RatingLoss, OfOneNumber) {  // HelpSteer2-Preference
  const Tensor outputs = row({3.2, 1.5}).t(), ratings = row({4, 1}).t();
  EXPECT_NEAR(rating_loss(outputs, ratings).mean().item<double>(), .445, 1e-12);
}

TEST(RatingLoss, HuberIsHalfTheSquareAndThenALine) {
  const RatingOptions options{.loss_type = "huber", .huber_delta = .5};
  const Tensor loss = rating_loss(row({.2, -.5, 2}), row({0, 0, 0}), options);
  EXPECT_NEAR(loss[0][0].item<double>(), .02, 1e-12);
  EXPECT_NEAR(loss[0][1].item<double>(), .125, 1e-12);
  EXPECT_NEAR(loss[0][2].item<double>(), .5 * (2 - .25), 1e-12);
}

TEST(RatingLoss, GaussianLearnsHowFarOffItIs) {  // BRME's gnll
  const RatingOptions options{.loss_type = "gaussian", .least_deviation = .01};
  // softplus(raw) + .01 = .5
  const double raw = std::log(std::expm1(.49));
  EXPECT_NEAR(rating_loss(row({.8, raw}), row({.5}), options).item<double>(), .405791, 6e-7);
  // Least where s is the error itself.
  const auto at = [&](double s) {
    return rating_loss(row({.8, std::log(std::expm1(s - .01))}), row({.5}), options).item<double>();
  };
  EXPECT_LT(at(.3), at(.29));
  EXPECT_LT(at(.3), at(.31));
  const model::Numbers read = model::read_numbers(row({.8, raw, 2, 3}), number_form(options));
  EXPECT_TRUE(read.value.equal(row({.8, 2})));
  EXPECT_NEAR(read.deviation[0][0].item<double>(), .5, 1e-12);
}

TEST(RatingLoss, QuantilesAreMissedOnTheRightSide) {
  const RatingOptions options{.loss_type = "quantile", .quantiles = {.1, .9}};
  // e = -1 for both: .1 and .9; e = 1: .9 and .1.
  EXPECT_NEAR(rating_loss(row({1, 1}), row({2}), options).item<double>(), .5, 1e-12);
  EXPECT_NEAR(rating_loss(row({3, 1}), row({2}), options).item<double>(), .9, 1e-12);
  EXPECT_NEAR(rating_loss(row({1, 3}), row({2}), options).item<double>(), .1, 1e-12);
  EXPECT_NEAR(model::read_numbers(row({1, 3}), number_form(options)).value.item<double>(), 2,
              1e-12);
  // Over many ratings it is least at their quantile.
  const Tensor ratings = at::arange(100, at::kDouble).unsqueeze(1);
  const auto at = [&](double q) {
    return rating_loss(at::full({100, 1}, q, at::kDouble), ratings,
                       {.loss_type = "quantile", .quantiles = {.9}})
        .mean()
        .item<double>();
  };
  EXPECT_LT(at(89.5), at(88));
  EXPECT_LT(at(89.5), at(91));
  EXPECT_EQ(number_form(options).suffixes()[1], "/0.9");
  EXPECT_NE(
      test::refusal(Kind::settings, [] { check_rating_options({.quantiles = {1}}, "r.json"); })
          .find("key quantiles: must lie in (0, 1), got 1"),
      std::string::npos);
}

TEST(RatingLoss, ClassesAreACrossEntropyWithTheRatingAsItsMean) {
  const RatingOptions options{.loss_type = "classes", .classes = {0, 1, 3}};
  const Tensor outputs = row({0, std::log(2), std::log(5)});  // p = 1/8, 2/8, 5/8
  const auto loss = [&](double rating) {
    return rating_loss(outputs, row({rating}), options).item<double>();
  };
  EXPECT_NEAR(loss(0), std::log(8), 1e-12);
  EXPECT_NEAR(loss(1), std::log(4), 1e-12);
  EXPECT_NEAR(loss(3), std::log(8. / 5), 1e-12);
  EXPECT_NEAR(loss(1.5), .75 * std::log(4) + .25 * std::log(8. / 5), 1e-12);
  const model::Numbers read = model::read_numbers(outputs, number_form(options));
  EXPECT_NEAR(read.value.item<double>(), 17. / 8, 1e-12);
  EXPECT_NEAR(read.deviation.item<double>(), std::sqrt(47. / 8 - 289. / 64), 1e-12);
  // Of ratings alone it is least where the mean is their mean.
  Tensor z = at::zeros({1, 3}, at::kDouble).requires_grad_();
  rating_loss(z, row({1.5}), options).sum().backward();
  const Tensor target = z.softmax(1).detach() - z.grad();
  EXPECT_NEAR((target * row({0, 1, 3})).sum().item<double>(), 1.5, 1e-12);
  for (const std::vector<double>& wrong : {std::vector<double>{1}, {1, 1}, {2, 1}}) {
    EXPECT_NE(
        test::refusal(Kind::settings, [&] { check_rating_options({.classes = wrong}, "r.json"); })
            .find("key classes: must be two numbers or more, ascending"),
        std::string::npos);
  }
}

TEST(RatingLoss, YesOrNoIsRlbffsTwoWayLoss) {
  const RatingOptions options{.loss_type = "bce"};
  const double yes = 1.2, no = -.3;  // logits, whose difference is the score
  const Tensor score = row({yes - no});
  EXPECT_NEAR(rating_loss(score, row({1}), options).item<double>(), .201413, 6e-7);
  EXPECT_NEAR(rating_loss(score, row({0}), options).item<double>(), 1.701413, 6e-7);
  EXPECT_NEAR(score.sigmoid().item<double>(), .817574, 6e-7);
  // SoliReward's mean of two.
  EXPECT_NEAR(rating_loss(row({1, -.5}), row({1, 0}), options).mean().item<double>(), .393669,
              6e-7);
}

TEST(RatingLoss, HasTheGradientOfItsValues) {
  for (const RatingOptions& options :
       {RatingOptions{}, RatingOptions{.loss_type = "huber", .huber_delta = .6},
        RatingOptions{.loss_type = "gaussian"}, RatingOptions{.loss_type = "bce"},
        RatingOptions{.loss_type = "quantile", .quantiles = {.2, .8}},
        RatingOptions{.loss_type = "classes", .classes = {0, 2}}}) {
    const Tensor point = row({.3, -.4, 1.9, .1}),
                 ratings = number_form(options).suffixes().size() == 1 ? row({1, kNan, 0, .5})
                                                                       : row({1, kNan});
    const Tensor outputs = point.clone().requires_grad_();
    rating_loss(outputs, ratings, options).sum().backward();
    const double h = 1e-6;
    for (int64_t i = 0; i < 4; ++i) {
      Tensor step = at::zeros({1, 4}, at::kDouble);
      step[0][i] = h;
      const double slope = ((rating_loss(point + step, ratings, options).sum() -
                             rating_loss(point - step, ratings, options).sum()) /
                            (2 * h))
                               .item<double>();
      EXPECT_NEAR(outputs.grad()[0][i].item<double>(), slope, 1e-8) << options.loss_type << i;
    }
  }
}

TEST(RatingLoss, AMissingRatingHasNoLossAndNoGradient) {
  for (const char* type : {"mse", "huber"}) {
    const Tensor outputs = row({1, 2}).requires_grad_();
    const Tensor loss = rating_loss(outputs, row({kNan, 0}), {.loss_type = type});
    loss.sum().backward();
    EXPECT_EQ(loss[0][0].item<double>(), 0.0) << type;
    EXPECT_EQ(outputs.grad()[0][0].item<double>(), 0.0) << type;
    EXPECT_GT(outputs.grad()[0][1].item<double>(), 0.0) << type;
  }
}

TEST(RatingLoss, SaysWhatItIs) {
  EXPECT_EQ(explain(RatingOptions{}).front(), "e^2, e = output - rating");
  EXPECT_EQ(
      explain(RatingOptions{.loss_type = "huber", .huber_delta = .5}).front(),
      "e^2 / 2 up to |e| = delta, delta (|e| - delta / 2) beyond, e = output - rating  =  e^2 "
      "/ 2 up to |e| = 0.5, 0.5 (|e| - 0.5 / 2) beyond, e = output - rating");
}

}  // namespace
}  // namespace guerdon::loss
