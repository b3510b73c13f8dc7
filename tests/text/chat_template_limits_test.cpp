// Hostile templates: each ends in time, in little memory, with a clear error.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/data/reader.h"
#include "guerdon/text/chat_template.h"
#include "support/data.h"
#include "support/errors.h"

namespace guerdon::text {
namespace {

#if defined(__has_feature)  // clang; GCC 12 knows the macro alone
#define GUERDON_HAS_FEATURE(name) __has_feature(name)
#else
#define GUERDON_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || GUERDON_HAS_FEATURE(address_sanitizer)
constexpr double kSeconds = 60;
constexpr int64_t kKilobytes = int64_t{4} << 20;
#else
constexpr double kSeconds = 3;  // of the processor: what takes longest takes 1
constexpr int64_t kKilobytes = 256 << 10;
#endif

int64_t peak_kilobytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

/// "" when the template renders, else the error; fails the test when it takes too long or too much.
std::string outcome(const std::string& source, const TemplateLimits& limits = {}) {
  SCOPED_TRACE(source.substr(0, 200));
  const int64_t before = peak_kilobytes();
  const std::clock_t begin = std::clock();
  std::string error;
  try {
    ChatTemplate::parse(source, "t", limits).render({{"messages", Json::array({Json::object()})}});
  } catch (const Error& caught) {
    EXPECT_EQ(caught.kind, Kind::input);
    error = caught.what();
    EXPECT_LT(error.size(), 1000u);
  }
  EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, kSeconds);
  EXPECT_LT(peak_kilobytes() - before, kKilobytes);
  return error;
}

void expect_refused(const std::string& source, const std::string& part) {
  const std::string error = outcome(source);
  EXPECT_NE(error.find(part), std::string::npos) << source.substr(0, 200) << "\n -> " << error;
}

TEST(TemplateLimits, BadInputsGetTheOutcomesOfTheirList) {
  GUERDON_NEEDS_DATA("bad-inputs");
  data::RowReader rows(test::data_folder() / "bad-inputs" / "cases.jsonl");
  int count = 0;
  while (const std::optional<data::Row> row = rows.next()) {
    const std::string file = row->fields.text("file"), expect = row->fields.text("expect");
    if (!file.starts_with("template/")) continue;
    SCOPED_TRACE(file);
    ++count;
    const std::string error = outcome(read_file(test::data_folder() / "bad-inputs" / file));
    if (expect == "error: no good") {
      EXPECT_EQ(error, "no good");
    } else if (expect != "error or empty") {
      EXPECT_NE(error, "");
      EXPECT_EQ(error.substr(0, 2), "t:") << error;
    }
  }
  EXPECT_EQ(count, 13);
}

TEST(TemplateLimits, NestingIsAnErrorAndNotACrash) {
  const auto many = [](const std::string& text, int count = 100'000) {
    std::string out;
    for (int i = 0; i < count; ++i) out += text;
    return out;
  };
  for (const std::string& source :
       {"{{ " + many("(") + " }}", "{{ " + many("[") + many("]") + " }}",
        "{{ " + many("{1:") + " }}", "{{ " + many("not ") + "1 }}", "{{ " + many("- ") + "1 }}",
        "{{ x" + many(".y") + " }}", "{{ x" + many("[0]") + " }}", "{{ x" + many("()") + " }}",
        "{{ x" + many("|upper") + " }}", "{{ x" + many(" is defined") + " }}",
        "{{ 1" + many(" if 1") + " }}", "{{ 1" + many(" if 1 else 1") + " }}", many("{% if 1 %}"),
        many("{% for x in y %}"), "{{ f" + many("(f") + " }}",
        "{% filter upper" + many("|upper") + " %}x{% endfilter %}",
        "{{ 'a'" + many("|map('upper'") + " }}", "{% set " + many("(") + " %}"}) {
    EXPECT_NE(outcome(source), "");
  }
  EXPECT_EQ(outcome("{{ 1" + many(" + 1", 10'000) + " }}"), "");
  EXPECT_EQ(outcome("{{ 1" + many(" and 1", 10'000) + " }}"), "");
  EXPECT_EQ(outcome("{{ 1" + many(" ~ 1", 10'000) + " }}"), "");
  EXPECT_EQ(outcome("{% if 0 %}" + many("{% elif 0 %}", 10'000) + "{% endif %}"), "");
}

TEST(TemplateLimits, ValuesThatHoldThemselvesEnd) {
  expect_refused(
      "{% set ns = namespace(x=[]) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}",
      "nested deeper than 400");
  expect_refused(
      "{% set ns = namespace(x='ab') %}{% for i in range(1000) %}{% set ns.x = ns.x|map('upper') "
      "%}{% endfor %}{{ ns.x|list }}",
      "nested deeper than 400");
  // A ring, and a chain a hundred thousand long: both freed without recursion.
  EXPECT_EQ(outcome("{% set ns = namespace() %}{% set ns.self = [ns] %}{% set ns.m = ns %}"), "");
  const ChatTemplate ring =
      ChatTemplate::parse("{% set ns = namespace() %}{% set ns.self = [ns] %}{{ ns }}", "t");
  EXPECT_EQ(ring.render(Json::object()).text, "<Namespace {'self': [<Namespace {...}>]}>");
  expect_refused(
      "{% set head = namespace(next=none) %}{% for i in range(1000) %}"
      "{% set head.next = namespace(next=head.next) %}{% endfor %}{{ head }}",
      "nested deeper than 400");
  EXPECT_EQ(outcome("{% set head = namespace(next=none) %}{% for i in range(100000) %}"
                    "{% set head.next = namespace(next=head.next) %}{% endfor %}"),
            "");
  EXPECT_EQ(
      outcome("{% macro m() %}{% set f = m %}{% macro g() %}{{ f }}{% endmacro %}{% endmacro %}"
              "{% for i in range(10000) %}{{ m() }}{% endfor %}"),
      "");
  // Shared parts: 2^60 elements to print, compare or write.
  const std::string doubled =
      "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}"
      "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}";
  expect_refused(doubled + "{{ ns.x }}", "16777216 bytes");
  expect_refused(doubled + "{{ ns.x|tojson }}", "16777216 bytes");
  expect_refused(doubled + "{{ ns.x == ns.y }}", "steps");
  expect_refused(doubled + "{{ ns.x|pprint }}", "");
}

TEST(TemplateLimits, NothingLargeIsBuilt) {
  expect_refused("{{ 'x' * 100000000000 }}", "16777216 bytes");
  expect_refused("{{ 'x' * 9223372036854775807 }}", "16777216 bytes");
  expect_refused("{{ [1] * 100000000000 }}", "1000000 elements");
  expect_refused("{{ 'x'.ljust(100000000000) }}", "16777216 bytes");
  expect_refused("{{ 'x'|center(100000000000) }}", "16777216 bytes");
  expect_refused("{{ '%1000000000d' % 1 }}", "16777216 bytes");
  expect_refused("{{ '%.1000000000f' % 1 }}", "precision");
  expect_refused("{{ '{:1000000000}'.format(1) }}", "16777216 bytes");
  expect_refused("{{ '{:99999999999999999999}'.format(1) }}", "too large");
  expect_refused("{{ 'a\\nb'|indent(1000000000) }}", "16777216 bytes");
  expect_refused("{{ ('a' * 1000000).replace('a', 'b' * 1000) }}", "16777216 bytes");
  expect_refused("{{ ('b' * 1000000).join('a' * 1000) }}", "16777216 bytes");
  expect_refused("{{ range(100000)|map('string')|join('x' * 1000) }}", "16777216 bytes");
  expect_refused("{{ ('a ' * 4000000).split() }}", "1000000 elements");
  expect_refused("{{ [1]|batch(10000000000, 1)|list }}", "1000000 elements");
  expect_refused("{{ 'a'|slice(10000000000)|list }}", "1000000 elements");
  expect_refused("{{ 'x\\t'.expandtabs(10000000000) }}", "16777216 bytes");
  expect_refused("{{ [[[[1]]]]|tojson(indent='x' * 16000000) }}", "16777216 bytes");
  expect_refused(
      "{% set ns = namespace(l=[]) %}{% for i in range(1000) %}{% set ns.l = ns.l + ['x' * 1000000 "
      "~ i] %}{% endfor %}",
      "bytes");
  expect_refused("{% for i in range(1000) %}{{ 'x' * 100000 }}{% endfor %}", "16777216 bytes");
}

TEST(TemplateLimits, WorkIsCounted) {
  expect_refused(
      "{% set t = 'ab' * 5000000 %}{% for i in range(100000) %}{% set x = t.find('c') %}{% endfor "
      "%}",
      "steps");
  expect_refused(
      "{% set t = 'a' * 8000000 %}{% set n = 'a' * 4000000 ~ 'b' %}{{ t.find(n) }}{% for i in "
      "range(1000) %}"
      "{% set x = n in t %}{{ t.rfind(n) }}{% endfor %}",
      "steps");
  expect_refused(
      "{% set t = 'a' * 16000000 %}{% for i in range(100000) %}{% set x = t[i] %}{% endfor %}",
      "steps");
  expect_refused("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
                 "1000000 turns");
  expect_refused("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
                 "calls are nested deeper than 200");
  expect_refused(
      "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
      "steps");
  expect_refused("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
                 "calls are nested deeper than 200");
  EXPECT_NE(outcome("{% for i in range(11) %}x{% endfor %}", {.loop_turns = 10}), "");
  EXPECT_NE(outcome("{{ 1 + 1 + 1 }}", {.steps = 3}), "");
  EXPECT_NE(outcome("{{ 'x' * 9 }}", {.output_bytes = 8}), "");
}

TEST(TemplateLimits, AnOuterLoopSeenFromAMacroKeepsItsOwnVariables) {
  const ChatTemplate chat = ChatTemplate::parse(
      "{% macro m(l, a, b, c, d) %}{{ l.nextitem }}{{ l.length }}{{ a }}{% endmacro %}"
      "{% set lowest = 1 %}{% for x in [1, 2, 3] if x > lowest %}{{ m(loop, 'a') }} {% endfor %}",
      "t");
  EXPECT_EQ(chat.render(Json::object()).text, "32a 2a ");
}

}  // namespace
}  // namespace guerdon::text
