#include "guerdon/eval/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/random.h"
#include "support/errors.h"

namespace guerdon::eval {
namespace {

/// Margins of a judge that is `factor` times too sure of itself.
std::vector<double> margins(double factor, uint64_t seed, int count) {
  Random random(seed, Purpose::data);
  std::vector<double> out;
  for (int i = 0; i < count; ++i) {
    const double size = 3 * random.next_uniform();
    out.push_back(random.next_uniform() < math::sigmoid(size) ? factor * size : -factor * size);
  }
  return out;
}

const CalibrationFigures& method(const Calibration& result, const std::string& name) {
  for (const CalibrationFigures& figures : result.methods) {
    if (figures.method == name) return figures;
  }
  throw std::runtime_error("no method " + name);
}

TEST(Calibrate, MendsAJudgeThatIsTooSure) {
  const std::vector<double> shown = margins(4, 1, 4000), fit = margins(4, 2, 4000);
  for (const std::vector<double>& held_out : {fit, std::vector<double>()}) {
    const Calibration result = calibrate(shown, held_out);
    EXPECT_NEAR(result.temperature, 4, 0.4);
    EXPECT_GT(method(result, "none").ece, 0.1);
    for (const char* name : {"temperature", "isotonic", "quantile"}) {
      EXPECT_LT(method(result, name).ece, 0.03) << name;
      EXPECT_LT(method(result, name).brier, method(result, "none").brier) << name;
      EXPECT_LT(method(result, name).log_loss, method(result, "none").log_loss) << name;
    }
  }
}

TEST(Calibrate, TemperatureIsFittedOnTheOtherPairs) {
  // The other pairs are half as sure as these: dividing by their temperature leaves a factor 2.
  const Calibration result = calibrate(margins(2, 1, 4000), margins(1, 2, 4000));
  EXPECT_NEAR(result.temperature, 1, 0.1);
  EXPECT_GT(method(result, "temperature").ece, 0.05);
}

TEST(Calibrate, ClaimsOfAFavouriteAreAtLeastAHalf) {
  // A judge that is worse than chance: the best monotone map that treats both sides alike says 1/2.
  const std::vector<double> wrong{-3, -2, -1, 1, -4, -2.5}, same = wrong;
  const Calibration result = calibrate(wrong, same);
  EXPECT_NEAR(method(result, "isotonic").brier, 0.25, 1e-12);
  EXPECT_NEAR(method(result, "isotonic").log_loss, std::log(2), 1e-12);
}

TEST(Calibrate, TheIntervalOfTheBrierScoreCoversItsExpectation) {
  double expected = 0;
  constexpr int kGrid = 10000;
  for (int i = 0; i < kGrid; ++i) {  // sizes are uniform on [0, 3], claims are right
    const double p = math::sigmoid(3 * (i + 0.5) / kGrid);
    expected += p * (1 - p) / kGrid;
  }
  int covered = 0;
  for (uint64_t trial = 0; trial < 100; ++trial) {
    const Calibration result =
        calibrate(margins(1, trial, 200), {}, {.seed = trial, .resamples = 200});
    const math::Interval found = method(result, "none").brier_interval;
    covered += found.lower <= expected && expected <= found.upper;
    EXPECT_LE(method(result, "none").ece_interval.lower, method(result, "none").ece_interval.upper);
  }
  EXPECT_GE(covered, 88);
  EXPECT_LE(covered, 99);
}

TEST(Calibrate, JsonTellsAll) {
  const Json json = calibration_json(calibrate(margins(2, 3, 100), {}));
  EXPECT_EQ(json["pairs"], 100);
  EXPECT_EQ(json["methods"].size(), 4u);
  EXPECT_EQ(json["methods"][1]["name"], "temperature");
  EXPECT_EQ(json["methods"][1]["bins"].size(), 10u);
}

TEST(Calibrate, Refuses) {
  const std::vector<double> few{1, 2, 3}, bad{1, NAN};
  EXPECT_NE(test::refusal(Kind::settings, [&] { calibrate(few, {}); })
                .find("3 pairs cannot be divided into 5 folds"),
            std::string::npos);
  test::refusal(Kind::bug, [&] { calibrate(bad, few); });
}

}  // namespace
}  // namespace guerdon::eval
