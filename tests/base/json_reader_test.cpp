#include "guerdon/base/json_reader.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/errors.h"

namespace guerdon {
namespace {

std::string refused(const std::string& text, size_t line = 0) {
  return test::refusal(Kind::input, [&] { parse_json(text, "f.json", line); });
}

TEST(JsonReader, KeepsTheOrderOfKeys) {
  EXPECT_EQ(parse_json(R"({"z":1,"a":[true,null,"x"],"m":{"b":2.5}})", "f").dump(),
            R"({"z":1,"a":[true,null,"x"],"m":{"b":2.5}})");
}

TEST(JsonReader, NamesLineAndColumn) {
  EXPECT_EQ(refused("{\n  \"a\": nan\n}").substr(0, 11), "f.json:2:9:")
      << refused("{\n  \"a\": nan\n}");
  EXPECT_EQ(refused("{\"a\":}", 17).substr(0, 10), "f.json:17:");
}

TEST(JsonReader, RefusesWhatIsNotStrictJson) {
  EXPECT_NE(refused(R"({"a":1,"a":2})").find("the key \"a\" is there twice"), std::string::npos);
  for (const char* text : {"", "{\"a\":1,}", "[1,]", "NaN", "[Infinity]", "1e999", "\"\\ud800\"",
                           "\"\xff\"", "{} x", "'a'", "// c\n1", "\"a\nb\"", "01"}) {
    refused(text);
  }
}

TEST(JsonReader, CountsDepthInsteadOfRecursing) {
  EXPECT_NE(refused(std::string(100'000, '[')).find("deeper than 256"), std::string::npos);
  EXPECT_NO_THROW(parse_json(std::string(256, '[') + std::string(256, ']'), "f"));
}

TEST(JsonReader, TakesCommentsOnlyWhereAsked) {
  EXPECT_EQ(parse_json("{ // why\n\"a\": 1 /* x */ }", "f", 0, {.comments = true}).dump(),
            "{\"a\":1}");
}

TEST(JsonReader, ReadsIntegersExactly) {
  EXPECT_EQ(parse_json("9007199254740993", "f").get<int64_t>(), 9007199254740993);
  EXPECT_EQ(json_number(0.1), "0.1");
}

}  // namespace
}  // namespace guerdon
