#include "guerdon/rules/clauses.h"

#include <gtest/gtest.h>

namespace guerdon::rules {
namespace {

using Clauses = std::vector<std::string_view>;

TEST(Clauses, AreCutWhereTheTextPauses) {
  EXPECT_EQ(clauses("I can't help with that, sorry. Is there anything else?"),
            (Clauses{"I can't help with that", "sorry", "Is there anything else"}));
  EXPECT_EQ(clauses("one\n\ntwo;three: four!"), (Clauses{"one", "two;three", "four"}));
  EXPECT_EQ(clauses("wait... what?!"), (Clauses{"wait", "what"}));
}

TEST(Clauses, ANumberIsWhole) {
  EXPECT_EQ(clauses("It costs 3.50, or 1,000 at 12:30."),
            (Clauses{"It costs 3.50", "or 1,000 at 12:30"}));
}

TEST(Clauses, OfOtherScripts) {
  EXPECT_EQ(clauses("\xE4\xBD\xA0\xE5\xA5\xBD\xEF\xBC\x8C\xE4\xB8\x96\xE7\x95\x8C\xE3\x80\x82"),
            (Clauses{"\xE4\xBD\xA0\xE5\xA5\xBD", "\xE4\xB8\x96\xE7\x95\x8C"}));
}

TEST(Clauses, OfNothingAreNone) {
  EXPECT_TRUE(clauses("").empty());
  EXPECT_TRUE(clauses(" .,;\n ").empty());
}

}  // namespace
}  // namespace guerdon::rules
