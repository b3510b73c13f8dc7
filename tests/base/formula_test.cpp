// Formulas as text.
#include "guerdon/base/formula.h"

#include <gtest/gtest.h>

#include "support/errors.h"

namespace guerdon {
namespace {

constexpr const char* kFormula = "-{1 - e} log sg({b} x) - {e}";

TEST(Formula, NamesOrNumbers) {
  EXPECT_EQ(symbols(kFormula), "-(1 - e) log sg(b x) - e");
  EXPECT_EQ(numbers(kFormula, {{"1 - e", 0.9}, {"b", -0.5}, {"e", 0.1}}),
            "-0.9 log sg((-0.5) x) - 0.1");
  EXPECT_EQ(symbols("x"), "x");
  EXPECT_EQ(numbers("", {}), "");
}

TEST(Formula, AnUnknownNameIsABug) {
  const std::string text = test::refusal(Kind::bug, [] {
    numbers(kFormula, {{"1 - e", 0.9}, {"b", 1.0}});
  });
  EXPECT_NE(text.find("no number is called e"), std::string::npos) << text;
}

}  // namespace
}  // namespace guerdon
