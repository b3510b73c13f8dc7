#include "guerdon/base/error.h"

#include <gtest/gtest.h>

namespace guerdon {

TEST(Error, ReadsWhereThenWhat) {
  const Error e(Kind::input, "a.jsonl:17", "field \"rejected\" is missing");
  EXPECT_STREQ(e.what(), "a.jsonl:17: field \"rejected\" is missing");
  EXPECT_EQ(static_cast<int>(e.kind), 3);
}

TEST(Show, EscapesControlCharactersAndCutsAt80) {
  EXPECT_EQ(show("a\nb\x01\""), "\"a\\nb\\x01\\\"\"");
  EXPECT_EQ(show("\xff"), "\"\\xff\"");
  EXPECT_EQ(show("\xc3\xa9"), "\"\xc3\xa9\"");
  EXPECT_EQ(show(std::string(100, 'x')), "\"" + std::string(80, 'x') + "...\"");
}

TEST(Nearest, FindsTheLikelyNameAndNoOther) {
  EXPECT_EQ(nearest("learning_rte", {"beta", "learning_rate"}), "learning_rate");
  EXPECT_EQ(nearest("zzz", {"beta", "learning_rate"}), "");
  EXPECT_EQ(did_you_mean("wieght", {"weight"}), " (did you mean \"weight\"?)");
}

TEST(Check, ThrowsABugThatNamesTheFile) {
  try {
    GUERDON_CHECK(1 == 2, "one is not ", 2);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind, Kind::bug);
    EXPECT_NE(std::string(e.what()).find("error_test.cpp"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("one is not 2"), std::string::npos);
  }
}

}  // namespace guerdon
