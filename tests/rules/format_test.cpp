#include "guerdon/rules/format.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/errors.h"

namespace guerdon::rules {
namespace {

TEST(ThinkFormat, AcceptsOneBlockAtTheStart) {
  for (const char* text : {"<think>a</think>b", "<think>\na\nb\n</think>\nc\nd",
                           "<think>a<b>c</b></think>d", "<think></think>b", "<think>a</think>"}) {
    EXPECT_TRUE(has_think_format(text)) << text;
  }
}

TEST(ThinkFormat, RefusesEverythingElse) {
  for (const char* text : {"", "a", "<think>a", "a</think>b", "b<think>a</think>",
                           "<think>a<think>b</think></think>", "<think>a</think><think>b</think>",
                           " <think>a</think>", "<think>a</thinking>", "think>a</think>"}) {
    EXPECT_FALSE(has_think_format(text)) << text;
  }
}

TEST(AfterThinking, IsWhatFollowsTheReasoning) {
  EXPECT_EQ(after_thinking("<think>1</think>2"), "2");
  EXPECT_EQ(after_thinking("2"), "2");
  EXPECT_EQ(after_thinking("<think>1"), "<think>1");
}

TEST(RepeatedShare, TrlsNumbers) {
  const auto share = [](std::vector<int64_t> ids, int64_t n) { return repeated_share(ids, n); };
  EXPECT_DOUBLE_EQ(share({1, 2, 3, 4}, 2), 0);
  EXPECT_DOUBLE_EQ(share({5, 5, 5, 5, 5}, 2), .75);
  EXPECT_DOUBLE_EQ(share({1, 2, 1, 2, 1, 2}, 2), .6);
  EXPECT_DOUBLE_EQ(share({1, 2, 3, 1, 2, 3}, 2), .4);
  EXPECT_DOUBLE_EQ(share({1, 2, 3, 1, 2, 3}, 3), .25);
  EXPECT_DOUBLE_EQ(share({1}, 2), 0);
  EXPECT_DOUBLE_EQ(share({1, 1}, 2), 0);
  EXPECT_DOUBLE_EQ(share({}, 2), 0);
  test::refusal(Kind::bug, [&] { share({1}, 0); });
}

TEST(SoftOverlong, TrlsNumbers) {
  EXPECT_DOUBLE_EQ(soft_overlong(50, 100, 20), 0);
  EXPECT_DOUBLE_EQ(soft_overlong(80, 100, 20), 0);
  EXPECT_DOUBLE_EQ(soft_overlong(90, 100, 20), -.5);
  EXPECT_DOUBLE_EQ(soft_overlong(100, 100, 20), -1);
  EXPECT_DOUBLE_EQ(soft_overlong(110, 100, 20), -1);
  EXPECT_DOUBLE_EQ(soft_overlong(100, 100, 0), 0);
}

TEST(Cosine, TrlsNumbers) {
  EXPECT_NEAR(cosine_between(1, .5, 25, 100), .92678, 1e-5);
  EXPECT_NEAR(cosine_between(1, .5, 75, 100), .57322, 1e-5);
  EXPECT_NEAR(cosine_between(1, .5, 50, 100), .75, 1e-12);
  EXPECT_NEAR(cosine_between(-1, -.5, 25, 100), -.92678, 1e-5);
  EXPECT_NEAR(cosine_between(-1, -.5, 75, 100), -.57322, 1e-5);
  EXPECT_DOUBLE_EQ(cosine_between(1, .5, 0, 100), 1);
  EXPECT_DOUBLE_EQ(cosine_between(1, .5, 100, 100), .5);
  EXPECT_DOUBLE_EQ(cosine_between(1, .5, 1000, 100), .5);
}

}  // namespace
}  // namespace guerdon::rules
