#include "guerdon/data/steps.h"

#include <gtest/gtest.h>

namespace guerdon::data {
namespace {

using Texts = std::vector<std::string>;

TEST(StepBeginnings, EndBeforeEachSeparator) {
  EXPECT_EQ(step_beginnings(std::string(" sun dog"), " "), (Texts{" sun", " sun dog"}));
  EXPECT_EQ(step_beginnings(std::string("a\n\nb\n"), "\n"), (Texts{"a", "a\n\nb"}));
  EXPECT_EQ(step_beginnings(std::string("a"), "\n\n"), (Texts{"a"}));
  EXPECT_EQ(step_beginnings(std::string("\n\n"), "\n"), Texts{});
  EXPECT_EQ(step_beginnings(std::string(""), "\n"), Texts{});
}

TEST(StepBeginnings, OfGivenStepsAreThoseOfTheirText) {
  for (const Texts& steps :
       {Texts{"a", "b c", "d"}, Texts{"a\n", "b c\n", "d\n"}, Texts{"a", "\nb c", "\nd"}}) {
    EXPECT_EQ(step_beginnings(std::span<const std::string>(steps), "\n"),
              (Texts{"a", "a\nb c", "a\nb c\nd"}));
  }
  // A step may hold a separator: it is one step all the same.
  const Texts steps{"a\nb", "c"};
  EXPECT_EQ(step_beginnings(std::span<const std::string>(steps), "\n"), (Texts{"a\nb", "a\nb\nc"}));
}

}  // namespace
}  // namespace guerdon::data
