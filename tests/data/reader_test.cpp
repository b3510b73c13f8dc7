#include "guerdon/data/reader.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <map>
#include <nlohmann/json.hpp>

#include "data/byte_source.h"
#include "support/data.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::data {
namespace {
namespace fs = std::filesystem;
using test::refusal;
using test::TemporaryFolder;

std::vector<std::string> texts(const fs::path& file, const std::string& field,
                               const ReadOptions& options = {}) {
  RowReader reader(file, options);
  std::vector<std::string> out;
  while (const auto row = reader.next()) out.push_back(row->fields.text(field));
  return out;
}

/// Text in gzip, in one member.
std::string gzipped(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

using Texts = std::vector<std::string>;

TEST(RowReader, ReadsLinesWithBlankOnesCarriageReturnsAndByteOrderMark) {
  const TemporaryFolder folder;
  const auto file = folder.file("a.jsonl", "\xef\xbb\xbf\n{\"a\":\"1\"}\r\n\r\n  \n{\"a\":\"2\"}");
  EXPECT_EQ(texts(file, "a"), (Texts{"1", "2"}));
}

TEST(RowReader, GivesTheLineAndTheBytesOfEachRow) {
  const TemporaryFolder folder;
  const std::string content = "\n{\"a\":\"1\"}\n\n{\"a\":\"22\"}\n";
  RowReader reader(folder.file("a.jsonl", content));
  const auto first = reader.next(), second = reader.next();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->line, 2);
  EXPECT_EQ(second->line, 4);
  EXPECT_EQ(content.substr(second->begin, second->end - second->begin), "{\"a\":\"22\"}\n");
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.rows(), 2);
}

TEST(RowReader, ReadsAnArrayOfObjects) {
  const TemporaryFolder folder;
  const auto file = folder.file("a.json", " [ {\"a\":\"[1,{\"} ,\n {\"a\":\"\\\"]\"}\n]\n ");
  EXPECT_EQ(texts(file, "a"), (Texts{"[1,{", "\"]"}));
}

TEST(RowReader, ReadsLinesThatAreNamedJson) {
  const TemporaryFolder folder;
  EXPECT_EQ(texts(folder.file("a.json", "{\"a\":\"1\"}\n{\"a\":\"2\"}\n"), "a"), (Texts{"1", "2"}));
}

TEST(RowReader, ReadsRowsThatCrossItsBuffer) {
  const TemporaryFolder folder;
  std::string lines, array = "[";
  Texts expected;
  for (int i = 0; i < 300; ++i) {
    expected.push_back(std::string(static_cast<size_t>(i * 7), 'x'));
    const std::string row = "{\"a\":\"" + expected.back() + "\"}";
    lines += row + "\n";
    array += (i ? "," : "") + row;
  }
  EXPECT_EQ(texts(folder.file("a.jsonl", lines), "a"), expected);
  EXPECT_EQ(texts(folder.file("a.json", array + "]"), "a"), expected);
  EXPECT_EQ(texts(folder.file("a.jsonl.gz", gzipped(lines)), "a"), expected);
}

TEST(RowReader, RefusesBrokenArraysAtTheirLine) {
  const TemporaryFolder folder;
  const std::map<std::string, std::string> expected = {
      {"[\n{\"a\":\"1\"}\n{\"a\":\"2\"}]", ":3: a comma or ]"},
      {"[{\"a\":\"1\"},\n]", ":2: a row is expected"},
      {"[{\"a\":\"1\"}]\n{}", ":2: there is something after"},
      {"[{\"a\":\"1\"},", ":1: the JSON array ends early"},
      {"[{\"a\":\"1\"", ":1: not valid JSON"},
      {"[{\"a\":\"1\"},\n3]", ":2: a row must be a JSON object"},
      {"[]", ": has no rows"},
      {"[{\"a\":tru}]", ":1: not valid JSON"},
  };
  for (const auto& [content, text] : expected) {
    const auto file = folder.file("a.json", content);
    const std::string said = refusal(Kind::input, [&] { texts(file, "a"); });
    EXPECT_NE(said.find(text), std::string::npos) << content << "\n" << said;
  }
}

TEST(RowReader, HoldsTheLimits) {
  const TemporaryFolder folder;
  const auto lines =
      folder.file("a.jsonl", "{\"a\":\"1\"}\n{\"a\":\"" + std::string(100, 'x') + "\"}\n");
  const auto array =
      folder.file("a.json", "[{\"a\":\"1\"},\n{\"a\":\"" + std::string(100, 'x') + "\"}]\n");
  EXPECT_EQ(refusal(Kind::input, [&] { texts(lines, "a", {.max_line_bytes = 50}); }),
            lines.string() + ":2: this line has more than 50 bytes");
  EXPECT_EQ(refusal(Kind::input, [&] { texts(array, "a", {.max_value_bytes = 50}); }),
            array.string() + ":2: this row has more than 50 bytes");
  EXPECT_EQ(texts(lines, "a", {.max_line_bytes = 108}).size(), 2U);
}

TEST(RowReader, NamesWideEncodings) {
  const TemporaryFolder folder;
  using std::string_literals::operator""s;
  for (const auto& [start, name] :
       std::map<std::string, std::string>{{"\xff\xfe{\0"s, "UTF-16"},
                                          {"\xfe\xff\0{"s, "UTF-16"},
                                          {"{\0\"\0"s, "UTF-16"},
                                          {"\0{\0\""s, "UTF-16"},
                                          {"\xff\xfe\0\0{\0\0\0"s, "UTF-32"},
                                          {"\0\0\0{"s, "UTF-32"}}) {
    const auto file = folder.file("a.jsonl", start);
    EXPECT_EQ(refusal(Kind::input, [&] { texts(file, "a"); }),
              file.string() + ":1: this is " + name + "; guerdon reads UTF-8");
  }
}

TEST(RowReader, SkipsAndCountsUpToOnePercent) {
  const TemporaryFolder folder;
  std::string content;
  for (int i = 0; i < 199; ++i) content += "{\"a\":\"x\"}\n";
  const ReadOptions skip{.on_bad_row = OnBadRow::skip};
  RowReader reader(folder.file("few.jsonl", content + "{\"a\":\n"), skip);
  while (reader.next()) {
  }
  EXPECT_EQ(reader.rows(), 200);
  EXPECT_EQ(reader.skipped(), 1);

  const auto many = folder.file("many.jsonl", content + "{\n{\n{\n");
  EXPECT_EQ(refusal(Kind::input, [&] { texts(many, "a", skip); }),
            many.string() + ": 3 of 202 rows were skipped, more than 1 %");
}

TEST(RowReader, CountsWhatItsCallerRejects) {
  const TemporaryFolder folder;
  const auto file = folder.file("a.jsonl", "{\"a\":\"1\"}\n");
  RowReader strict(file);
  strict.next();
  EXPECT_EQ(refusal(Kind::input, [&] { strict.reject(Error(Kind::input, "a:1", "no")); }),
            "a:1: no");
  RowReader lenient(file, {.on_bad_row = OnBadRow::skip});
  lenient.next();
  lenient.reject(Error(Kind::input, "a:1", "no"));
  EXPECT_EQ(lenient.skipped(), 1);
}

TEST(RowReader, RefusesWhatIsNoFile) {
  const TemporaryFolder folder;
  EXPECT_NE(refusal(Kind::input, [&] { RowReader r(folder.path() / "none.jsonl"); })
                .find("cannot be read"),
            std::string::npos);
  EXPECT_NE(refusal(Kind::input, [&] { RowReader r(folder.path()); }).find("is a folder"),
            std::string::npos);
}

TEST(Gzip, ReadsSeveralMembersAndPadding) {
  const TemporaryFolder folder;
  const std::string two =
      gzipped("{\"a\":\"1\"}\n") + gzipped("{\"a\":\"2\"}\n") + std::string(100, '\0');
  EXPECT_EQ(texts(folder.file("a.jsonl.gz", two), "a"), (Texts{"1", "2"}));
}

TEST(Gzip, RefusesEveryCut) {
  const std::string whole = gzipped("{\"a\":\"some text that is long enough\"}\n");
  for (size_t length = 2; length < whole.size(); ++length) {
    refusal(Kind::input, [&] {
      const auto source = gunzip(bytes_of(whole.substr(0, length)), "a.gz");
      char out[256];
      while (source->read(out, sizeof out) > 0) {
      }
    });
  }
}

TEST(Gzip, RefusesBombs) {
  // 128 MiB of zeros, of which zlib makes 1/1030.
  std::string compressed = gzipped(std::string(size_t{128} << 20, '\0'));
  const std::string said = refusal(Kind::input, [&] {
    const auto source = gunzip(bytes_of(compressed), "a.gz");
    std::vector<char> out(size_t{1} << 20);
    while (source->read(out.data(), out.size()) > 0) {
    }
  });
  EXPECT_EQ(said, "a.gz: gzip stream grows more than 1000-fold");
}

}  // namespace
}  // namespace guerdon::data
