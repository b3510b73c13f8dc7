#include "cli/console.h"

#include <gtest/gtest.h>

namespace guerdon::cli {
namespace {

const Progress kBegin{.task = "train", .done = 0, .total = 40, .unit = "step", .tokens = 0};

TEST(ProgressText, ShowsShareRateAndTimeLeft) {
  const Progress now{.task = "train", .done = 10, .total = 40, .unit = "step", .tokens = 31'000};
  EXPECT_EQ(progress_text(kBegin, now, 10.0, 100),
            "train [#####---------------] 10/40 steps, 3.1k tokens/s, 0:30 left");
}

TEST(ProgressText, CountsFromWhereAResumedTaskBegan) {
  const Progress begin{.task = "train", .done = 20, .total = 40, .unit = "step", .tokens = 50'000};
  const Progress now{.task = "train", .done = 30, .total = 40, .unit = "step", .tokens = 60'000};
  EXPECT_EQ(progress_text(begin, now, 20.0, 100),
            "train [###############-----] 30/40 steps, 500 tokens/s, 0:20 left");
}

TEST(ProgressText, WithoutTokensTellsUnitsASecond) {
  const Progress now{.task = "score", .done = 5, .total = 0, .unit = "row"};
  EXPECT_EQ(progress_text({.task = "score"}, now, 2.0, 100), "score 5 rows, 2.5 rows/s");
}

TEST(ProgressText, SaysHowLongItTookAtTheEnd) {
  const Progress now{.task = "train", .done = 40, .total = 40, .unit = "step", .note = "loss 0.41"};
  EXPECT_EQ(progress_text(kBegin, now, 3'723.0, 100),
            "train [####################] 40/40 steps, 0.0 steps/s, took 1:02:03, loss 0.41");
}

TEST(ProgressText, FitsTheTerminal) {
  const Progress now{.task = "tr\xc3\xa4n", .done = 10, .total = 40, .unit = "step"};
  EXPECT_EQ(progress_text(kBegin, now, 10.0, 6), "tr\xc3\xa4n [");
}

}  // namespace
}  // namespace guerdon::cli
