#include "guerdon/report/html.h"

#include <gtest/gtest.h>

namespace guerdon::report {
namespace {

TEST(Escaped, LeavesNoMarkup) {
  EXPECT_EQ(escaped("<img src=x onerror=\"alert('1')\">&amp;"),
            "&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;amp;");
}

TEST(Escaped, ShowsWhatWouldHideOrReorder) {
  EXPECT_EQ(escaped("a\x1b[31mb"), "a[U+001B][31mb");
  EXPECT_EQ(escaped(std::string("a\0b", 3)), "a[U+0000]b");
  EXPECT_EQ(escaped("\xE2\x80\xAE"
                    "evil"),
            "[U+202E]evil");
  EXPECT_EQ(escaped("two\nlines\there"), "two\nlines\there");
}

TEST(Escaped, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(escaped("a\xFF"
                    "b"),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(escaped("caf\xC3\xA9 \xE6\x97\xA5"), "caf\xC3\xA9 \xE6\x97\xA5");
}

TEST(Text, IsCutAtCharactersNotBytes) {
  const Html cut = text("\xC3\xA9\xC3\xA9\xC3\xA9", 2);
  EXPECT_NE(cut.markup.find("\xC3\xA9\xC3\xA9<"), std::string::npos);
  EXPECT_NE(cut.markup.find("and 2 more bytes"), std::string::npos);
  EXPECT_EQ(text("short", 5).markup.find("more bytes"), std::string::npos);
}

TEST(Page, ForbidsScriptsAndEveryRequest) {
  const std::string html =
      page("a <title>", text("<script>alert(1)</script>"), {{"<b>heading", text("x")}});
  EXPECT_NE(
      html.find(
          "Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\""),
      std::string::npos);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("<b>heading"), std::string::npos);
  EXPECT_EQ(html.find("http://"), std::string::npos);
  EXPECT_EQ(html.find("https://"), std::string::npos);
  EXPECT_EQ(html.find("url("), std::string::npos);
}

TEST(Page, LinksItsSectionsWhenThereAreMany) {
  const Html none;
  EXPECT_EQ(page("t", none, {{"One", none}}).find("<nav>"), std::string::npos);
  EXPECT_NE(page("t", none, {{"One", none}, {"Two", none}, {"Three", none}})
                .find("<a href=\"#s2\">Three</a>"),
            std::string::npos);
}

TEST(Preformatted, KeepsTheEnd) {
  const std::string html = preformatted(std::string(100, 'a') + "END", 10).markup;
  EXPECT_NE(html.find("93 bytes left out"), std::string::npos);
  EXPECT_NE(html.find("aaaaaaaEND</pre>"), std::string::npos);
}

}  // namespace
}  // namespace guerdon::report
