#include "guerdon/base/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

#include "support/errors.h"

namespace guerdon {
namespace {

TEST(ParallelFor, VisitsEachItemOnce) {
  for (const int threads : {1, 2, 7}) {
    set_thread_count(threads);
    for (const int64_t size : {0, 1, 5, 1000}) {
      for (const int64_t grain : {1, 3, 5000}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(size));
        parallel_for(size, grain, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        });
        for (const auto& count : visits) EXPECT_EQ(count, 1);
      }
    }
  }
  set_thread_count(0);
}

TEST(ParallelFor, PassesTheFirstExceptionOn) {
  set_thread_count(4);
  std::atomic<int> begun = 0;
  EXPECT_THROW(parallel_for(1'000'000, 1,
                            [&](int64_t, int64_t) {
                              ++begun;
                              throw std::runtime_error("row 3");
                            }),
               std::runtime_error);
  EXPECT_LE(begun, 4);
  set_thread_count(0);
}

TEST(ThreadCount, IsWhatWasChosen) {
  EXPECT_GE(thread_count(), 1);
  set_thread_count(3);
  EXPECT_EQ(thread_count(), 3);
  set_thread_count(0);
  EXPECT_NE(test::refusal(Kind::bug, [] { set_thread_count(-1); }).find("-1"), std::string::npos);
}

}  // namespace
}  // namespace guerdon
