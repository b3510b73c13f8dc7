#include "guerdon/text/chat_template.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "guerdon/base/file.h"
#include "support/data.h"
#include "support/errors.h"
#include "text/characters.h"

namespace guerdon::text {
namespace {

const Json& expectations() {
  static const Json json = read_json(test::fixture("templates.json"));
  return json;
}

Json variables() {
  Json all = expectations()["variables"];
  all["strftime_now_iso"] = "2024-07-26T12:00:00";
  return all;
}

std::string rendered(const std::string& source, const Json& given = Json::object()) {
  return ChatTemplate::parse(source, "t").render(given).text;
}

std::string refused(const std::string& source, const Json& given = Json::object()) {
  return test::refusal(Kind::input, [&] { rendered(source, given); });
}

TEST(ChatTemplate, GivesWhatJinja2Gives) {
  const Json given = variables();
  for (const Json& row : expectations()["cases"]) {
    const auto source = row[0].get<std::string>();
    SCOPED_TRACE(source);
    if (row[1].is_null()) {
      const std::string error = refused(source, given);
      if (!row[3].is_null()) {
        EXPECT_EQ(error, row[3].get<std::string>());
      }
      continue;
    }
    try {
      const Rendered result = ChatTemplate::parse(source, "t").render(given);
      EXPECT_EQ(result.text, row[1].get<std::string>());
      if (row.size() > 2) {
        EXPECT_EQ(in_characters(result), clamped(row[2], result.text));
      }
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

TEST(ChatTemplate, TellsWhereTheSourceIsMalformed) {
  EXPECT_EQ(refused("a\n  {{ 1 + }}"), "t:2:10: unexpected '}}', expected an expression");
  EXPECT_EQ(refused("{% if x %}\n{{ \"\xc3\xa9\" | nosuch }}").substr(0, 6), "t:1:4:");
  EXPECT_EQ(refused("{{ \"\xc3\xa9\" | uper }}"),
            "t:1:10: no filter named \"uper\" (did you mean \"upper\"?)");
  EXPECT_EQ(refused("{% for x in y %}{% endif %}"),
            "t:1:20: unknown tag 'endif'; the innermost block that is open is 'for'");
  EXPECT_EQ(refused("{{ '"), "t:1:4: the string is never closed");
  EXPECT_EQ(refused("x\xff"), "t:1:2: byte 255 is not UTF-8");
  EXPECT_EQ(refused("{% include 'x' %}"),
            "t:1:4: the tag 'include' is not available: a chat template stands alone");
}

TEST(ChatTemplate, TellsWhereRenderingFailed) {
  const Json given = {{"messages", Json::array({{{"role", "user"}}})}};
  EXPECT_EQ(refused("{{ 'a' }}\n{{ messages[0].content.text }}", given),
            "t:2:23: 'dict object' has no attribute 'content'");
  EXPECT_EQ(refused("{{ nothing.at.all }}"), "t:1:11: 'nothing' is undefined");
  EXPECT_EQ(refused("{{ 'a' + 1 }}"), "t:1:4: can only concatenate str (not \"int\") to str");
}

TEST(ChatTemplate, PassesTheTextOfRaiseExceptionThrough) {
  EXPECT_EQ(refused("{{ raise_exception('roles: {\"a\"} \xc3\xa9\\nsecond line') }}"),
            "roles: {\"a\"} \xc3\xa9\nsecond line");
}

TEST(ChatTemplate, CountsSpansInBytes) {
  const Rendered result =
      ChatTemplate::parse("\xc3\xa9{% generation %}\xc3\xa9x{% endgeneration %}y", "t")
          .render(Json::object());
  ASSERT_EQ(result.assistant.size(), 1u);
  EXPECT_EQ(result.assistant[0].begin, 2);
  EXPECT_EQ(result.assistant[0].end, 5);
}

TEST(ChatTemplate, KnowsWhetherItHasGenerationTags) {
  EXPECT_FALSE(ChatTemplate::parse("{# {% generation %} #}", "t").has_generation_tags());
  EXPECT_TRUE(
      ChatTemplate::parse("{% generation %}{% endgeneration %}", "t").has_generation_tags());
}

TEST(ChatTemplate, KeepsItsSourceAsItWas) {
  EXPECT_EQ(ChatTemplate::parse("a\r\nb\n", "t").source(), "a\r\nb\n");
}

TEST(ChatTemplate, TellsTheTimeOfTheMomentUnlessGivenOne) {
  const std::string year = rendered("{{ strftime_now('%Y') }}");
  EXPECT_EQ(year.size(), 4u);
  EXPECT_GE(std::stoi(year), 2024);
  EXPECT_EQ(rendered("{{ strftime_now('%a %f') }}", {{"strftime_now_iso", "2025-01-01T00:00:00"}}),
            "Wed 000000");
  refused("{{ strftime_now('%Y') }}", {{"strftime_now_iso", "today"}});
}

TEST(ChatTemplate, PrintsIntegersPast64BitsAndRefusesToComputeThem) {
  const Json given = {{"n", 18446744073709551615u}};
  EXPECT_EQ(rendered("{{ n }} {{ [n]|tojson }} {{ n is integer }}", given),
            "18446744073709551615 [18446744073709551615] True");
  refused("{{ n + 1 }}", given);
  EXPECT_NE(refused("{{ 9223372036854775807 + 1 }}").find("64 bits"), std::string::npos);
  EXPECT_NE(refused("{{ 9223372036854775808 }}").find("64 bits"), std::string::npos);
}

TEST(ChatTemplate, RefusesVariablesThatAreNoObject) {
  test::refusal(Kind::input, [] { ChatTemplate::parse("x", "t").render(Json::array()); });
}

TEST(ChatTemplate, MayBeRenderedByManyThreads) {
  const ChatTemplate chat =
      ChatTemplate::parse("{% for i in range(200) %}{{ 'x' ~ i }}{{ [1, 'a'] }}{% endfor %}", "t");
  const std::string expected = chat.render(Json::object()).text;
  std::vector<std::string> results(4);
  std::vector<std::thread> threads;
  for (std::string& result : results) {
    threads.emplace_back([&] { result = chat.render(Json::object()).text; });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& result : results) EXPECT_EQ(result, expected);
}

}  // namespace
}  // namespace guerdon::text
