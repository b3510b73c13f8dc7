#include "guerdon/rules/reply.h"

#include <gtest/gtest.h>

#include "support/errors.h"

namespace guerdon::rules {
namespace {

TEST(ReadReply, TakesANumberNullOrAnObject) {
  EXPECT_EQ(read_reply("0.5").score, 0.5);
  EXPECT_EQ(read_reply("null").score, std::nullopt);
  EXPECT_EQ(read_reply(R"({"score": -2})").score, -2.0);
  EXPECT_EQ(read_reply(R"({"score": null})").score, std::nullopt);
  const Reply reply = read_reply(R"({"note": "well done", "score": 1, "error": null, "x": [1]})");
  EXPECT_EQ(reply.score, 1.0);
  EXPECT_EQ(reply.note, "well done");
  EXPECT_EQ(read_reply(R"({"score": 1, "note": 3})").note, "");
}

TEST(ReadReply, RefusesWhatIsNoScore) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"what", "its reply:1:"},
      {"", "its reply"},
      {"{}", "its reply has no \"score\": \"{}\""},
      {"[1]", "its score is no number: \"[1]\""},
      {R"({"score": "1"})", "its score is no number"},
      {R"({"score": {"score": 1}})", "its score is no number"},
      {R"({"error": "no idea", "score": 1})", "no idea"},
      {R"({"error": {"code": 3}})", R"({"code":3})"},
      {"1e39", "its score is too large: \"1e39\""},  // infinite as float32
      {"1e999", "its reply:1:"},
      {"NaN", "its reply:1:"}};
  for (const auto& [line, expected] : cases) {
    const std::string text = test::refusal(Kind::input, [&reply = line] { read_reply(reply); });
    EXPECT_NE(text.find(expected), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace guerdon::rules
