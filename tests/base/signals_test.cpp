#include "guerdon/base/signals.h"

#include <gtest/gtest.h>

#include <csignal>

#include "support/errors.h"

namespace guerdon {
namespace {

TEST(StopSignals, NotesTheFirst) {
  {
    const StopSignals signals;
    EXPECT_EQ(stop_signal(), 0);
    std::raise(SIGTERM);
    EXPECT_EQ(stop_signal(), SIGTERM);
  }
  EXPECT_EQ(stop_signal(), SIGTERM);
  request_stop(0);
  EXPECT_EQ(stop_signal(), 0);
}

using StopSignalsDeathTest = testing::Test;

TEST(StopSignalsDeathTest, EndAtTheSecond) {
  EXPECT_EXIT(
      {
        const StopSignals signals;
        std::raise(SIGTERM);
        std::raise(SIGINT);
      },
      testing::ExitedWithCode(130), "");
}

TEST(StopSignalsDeathTest, AfterwardsSignalsDoWhatTheyDid) {
  EXPECT_EXIT(
      {
        { const StopSignals signals; }
        std::raise(SIGTERM);
      },
      testing::KilledBySignal(SIGTERM), "");
}

TEST(StopSignals, LiveOneAtATime) {
  const StopSignals signals;
  EXPECT_NE(test::refusal(Kind::bug, [] { const StopSignals second; }).find("one StopSignals"),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon
