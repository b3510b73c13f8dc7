#include "guerdon/data/prompt_key.h"

#include <gtest/gtest.h>

namespace guerdon::data {
namespace {

Example about(const std::string& prompt) { return {"", prompt, {}, {}}; }

TEST(PromptText, IsThePromptOrWhatStandsBeforeTheFirstAnswer) {
  EXPECT_EQ(prompt_text(about("a")), "a");
  Example talk;
  talk.prompt = Conversation{};
  talk.responses.push_back(
      {Conversation{{"system", "s", {}}, {"user", "u", {}}, {"assistant", "a", {}}}, {}});
  EXPECT_EQ(prompt_text(talk), "system: s\nuser: u\n");
  EXPECT_EQ(prompt_text({"", "", {{std::string("text"), {}}}, {}}), "text");
}

TEST(Normalised, ForgetsLooks) {
  EXPECT_EQ(normalised("  What's\n THE time?! "), "what s the time");
  EXPECT_EQ(normalised("\xc3\x89t\xc3\xa9"), "\xc3\x89t\xc3\xa9");
  EXPECT_EQ(normalised("..."), "");
}

TEST(HeldOut, DependsOnThePromptAlone) {
  int held = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string prompt = "prompt " + std::to_string(i);
    const bool first = is_held_out(about(prompt), 0.25, 7);
    EXPECT_EQ(first, is_held_out(about("Prompt  " + std::to_string(i) + "!"), 0.25, 7));
    held += first;
  }
  EXPECT_NEAR(held, 500, 4 * 19.4);  // four standard deviations of 2000 draws of 1/4
  EXPECT_FALSE(is_held_out(about("a"), 0.0, 0));
  EXPECT_TRUE(is_held_out(about("a"), 1.0, 0));
}

}  // namespace
}  // namespace guerdon::data
