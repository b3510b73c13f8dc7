#include "guerdon/data/example.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/errors.h"

namespace guerdon {
namespace {
using test::refusal;

const Fields kFields(
    Json::parse(R"({"n":1.5,"t":"x","b":true,"ts":["a","b"],"ns":[1,2.5],"z":null})"), "f:3");

TEST(Fields, AreReadByName) {
  EXPECT_EQ(kFields.number("n"), 1.5);
  EXPECT_EQ(kFields.text("t"), "x");
  EXPECT_TRUE(kFields.boolean("b"));
  EXPECT_EQ(kFields.texts("ts"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(kFields.numbers("ns"), (std::vector<double>{1, 2.5}));
  EXPECT_EQ(kFields.number_or("none", 7), 7);
  EXPECT_EQ(kFields.text_or("z", "y"), "y");
  EXPECT_FALSE(kFields.has("z"));
  EXPECT_EQ(kFields.names().size(), 6U);
}

TEST(Fields, ErrorsNameRowAndField) {
  EXPECT_EQ(refusal(Kind::input, [] { kFields.number("t"); }),
            "f:3: field \"t\" must be a number, got \"x\"");
  EXPECT_EQ(refusal(Kind::input, [] { kFields.text("q"); }),
            "f:3: field \"q\" is missing (have: n, t, b, ts, ns, z)");
  EXPECT_EQ(refusal(Kind::input, [] { kFields.text("z"); }), "f:3: field \"z\" is null");
  EXPECT_EQ(refusal(Kind::input, [] { kFields.texts("ns"); }),
            "f:3: field \"ns\" must be a list of strings, got a list of 2");
}

TEST(Fields, AreAnEmptyObjectWhenNothingWasGiven) {
  EXPECT_EQ(Fields().json(), Json::object());
  EXPECT_FALSE(Fields().has("a"));
}

TEST(Message, IsJsonAsTemplatesSeeIt) {
  const Message message{"assistant", "hi", Fields(Json{{"name", "a"}}, "f:1")};
  EXPECT_EQ(message_json(message).dump(), R"({"role":"assistant","content":"hi","name":"a"})");
  EXPECT_EQ(conversation_json({message, message}).size(), 2U);
}

}  // namespace
}  // namespace guerdon
