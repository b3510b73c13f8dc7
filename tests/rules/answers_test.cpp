#include "guerdon/rules/answers.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace guerdon::rules {
namespace {

TEST(NumberOf, ReadsTheUsualForms) {
  const std::vector<std::pair<std::string, double>> cases = {
      {"12", 12},
      {" -3.5 ", -3.5},
      {"+7", 7},
      {"1,234", 1234},
      {"1,234,567.5", 1234567.5},
      {"63/400", .1575},
      {"\\frac{63}{400}", .1575},
      {"-\\dfrac{1}{4}", -.25},
      {"40%", .4},
      {"40\\%", .4},
      {"$5", 5},
      {"$\\frac{1}{2}$", .5},
      {"\\(8\\)", 8},
      {"7.", 7},
      {".5", .5},
      {"1e3", 1000},
  };
  for (const auto& [text, value] : cases) {
    const std::optional<double> number = number_of(text);
    ASSERT_TRUE(number) << text;
    EXPECT_DOUBLE_EQ(*number, value) << text;
  }
}

TEST(NumberOf, RefusesWhatIsNone) {
  for (const char* text :
       {"", "x", "1 2", "1,23", "1,2345", "12,34,567", "1/0", "\\frac{1}{0}", "--1", "1-2", "nan",
        "inf", "0x10", "1e999", "1e308/1e-308", ".", "-", "\\frac{1}", "1/2/3"}) {
    EXPECT_FALSE(number_of(text)) << text;
  }
}

TEST(LastNumber, FindsItInProse) {
  EXPECT_EQ(last_number("so 3 + 4 = 7 apples."), 7);
  EXPECT_EQ(last_number("It costs $1,250.50."), 1250.5);
  EXPECT_EQ(last_number("first 1, then 2."), 2);
  EXPECT_EQ(last_number("about 40% of them"), .4);
  EXPECT_EQ(last_number("3+4"), 4);
  EXPECT_EQ(last_number("no digits"), std::nullopt);
  EXPECT_EQ(last_number(""), std::nullopt);
}

TEST(BoxedAnswer, TakesTheLastBalancedOne) {
  EXPECT_EQ(boxed_answer("\\boxed{1} then \\boxed{ \\frac{63}{400} }"), "\\frac{63}{400}");
  EXPECT_EQ(boxed_answer("\\boxed{1"), std::nullopt);
  EXPECT_EQ(boxed_answer("none"), std::nullopt);
}

TEST(SameText, IgnoresBlanksAndCase) {
  EXPECT_TRUE(same_text("  The  Answer\n", "the answer"));
  EXPECT_FALSE(same_text("the answer", "theanswer"));
  EXPECT_TRUE(same_text("", " "));
}

TEST(Answers, HostileTextCostsLittle) {
  // Each is bounded by the 64 KiB that are looked at.
  const std::string digits(1 << 22, '9'), slashes(1 << 22, '/');
  const std::string braces = "\\boxed{" + std::string(1 << 22, '{');
  std::string mixed;
  for (int i = 0; i < 1 << 20; ++i) mixed += "1,/-";
  for (const std::string& text : {digits, slashes, braces, mixed}) {
    number_of(text);
    last_number(text);
    boxed_answer(text);
    EXPECT_TRUE(same_text(text, text));
  }
  EXPECT_FALSE(number_of(digits));
}

}  // namespace
}  // namespace guerdon::rules
