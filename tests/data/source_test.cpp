#include "guerdon/data/source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "guerdon/base/file.h"
#include "support/data.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::data {
namespace {
namespace fs = std::filesystem;
using test::refusal;
using test::TemporaryFolder;

std::string text_of(const Example& example) {
  return std::get<std::string>(example.responses.at(0).text);
}

TEST(DataSource, KeepsWhatAPipeGives) {
  const TemporaryFolder folder;
  const fs::path pipe = folder.path() / "rows.jsonl";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(pipe) << "{\"text\":\"a\"}\n{\"text\":\"b\"}\n"; });
  const DataSource source(pipe);
  writer.join();
  ASSERT_EQ(source.size(), 2);
  EXPECT_EQ(text_of(source.at(1)), "b");
  EXPECT_EQ(text_of(source.at(0)), "a");
}

TEST(DataSource, GivesRowsInAnyOrderWithTheirLines) {
  const TemporaryFolder folder;
  const DataSource source(
      folder.file("a.jsonl", "{\"text\":\"a\"}\n\n{\"text\":\"b\"}\r\n{\"text\":\"c\"}"));
  ASSERT_EQ(source.size(), 3);
  EXPECT_EQ(text_of(source.at(2)), "c");
  EXPECT_EQ(text_of(source.at(0)), "a");
  EXPECT_EQ(text_of(source.at(1)), "b");
  EXPECT_TRUE(source.at(1).fields.where().ends_with("a.jsonl:3"));
  EXPECT_TRUE(source.at(2).fields.where().ends_with("a.jsonl:4"));
  EXPECT_EQ(source.type(), DatasetType::language_modeling);
}

TEST(DataSource, ReadsArraysAndLeavesOutSkippedRowsAndTies) {
  const TemporaryFolder folder;
  const DataSource array(folder.file("a.json", "[{\"text\":\"a\"} , \n{\"text\":\"b\"}]"));
  EXPECT_EQ(text_of(array.at(1)), "b");
  std::string rows;
  for (int i = 0; i < 150; ++i)
    rows += "{\"prompt\":\"p\",\"completion\":\"" + std::to_string(i) + "\"}\n";
  const DataSource skipping(folder.file("b.jsonl", "{bad\n" + rows),
                            {.read = {.on_bad_row = OnBadRow::skip}});
  EXPECT_EQ(skipping.size(), 150);
  EXPECT_EQ(skipping.skipped(), 1);
  EXPECT_TRUE(skipping.at(0).fields.where().ends_with(":2"));
  const DataSource ties(folder.file(
      "c.jsonl",
      "{\"question\":\"q\",\"response_a\":\"x\",\"response_b\":\"y\",\"preferred\":\"tie\"}\n"
      "{\"question\":\"q\",\"response_a\":\"x\",\"response_b\":\"y\",\"preferred\":\"b\"}\n"));
  EXPECT_EQ(ties.size(), 1);
  EXPECT_EQ(text_of(ties.at(0)), "y");
  EXPECT_EQ(ties.counts().ties, 1);
}

TEST(DataSource, ReadsCompressedFilesAtRandom) {
  GUERDON_NEEDS_DATA("hh-rlhf");
  const DataSource source(test::data_folder() / "hh-rlhf" / "train.jsonl.gz");
  EXPECT_EQ(source.size(), 1211);
  EXPECT_TRUE(source.at(1210).fields.where().ends_with(":1211"));
  EXPECT_EQ(source.type(), DatasetType::preference);
  EXPECT_TRUE(source.conversational());
}

TEST(DataSource, NoticesThatItsFileWasChanged) {
  const TemporaryFolder folder;
  const auto file = folder.file("a.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"}\n");
  const DataSource source(file);
  fs::resize_file(file, 5);
  EXPECT_EQ(refusal(Kind::input, [&] { source.at(0); }),
            file.string() + ": was changed while it was in use");
}

TEST(DataSource, FingerprintFollowsContentNameAndMeaning) {
  const TemporaryFolder folder;
  const std::string rows = "{\"text\":\"a\",\"b\":\"c\"}\n";
  const std::string first = DataSource(folder.file("a.jsonl", rows)).fingerprint();
  EXPECT_EQ(first.size(), 64U);
  EXPECT_EQ(DataSource(folder.file("x/a.jsonl", rows)).fingerprint(), first);
  EXPECT_NE(DataSource(folder.file("b.jsonl", rows)).fingerprint(), first);
  EXPECT_NE(DataSource(folder.file("y/a.jsonl", rows + "\n")).fingerprint(), first);
  const DataSource::Options renamed{.format = {.columns = {"text=b"}}};
  EXPECT_NE(DataSource(folder.file("a.jsonl", rows), renamed).fingerprint(), first);
}

TEST(DataSource, RefusesEmptyAndUnsuitableData) {
  const TemporaryFolder folder;
  const auto file = folder.file("a.jsonl", "{\"prompt\":\"a\"}\n");
  EXPECT_EQ(refusal(Kind::input,
                    [&] {
                      require_type(DataSource(file), {DatasetType::preference},
                                   "preference pairs are");
                    }),
            file.string() + ": holds prompt_only: prompt; preference pairs are needed");
  EXPECT_NO_THROW(require_type(DataSource(file), {DatasetType::prompt_only}, "prompts are"));
  refusal(Kind::input, [&] { DataSource source(folder.file("b.jsonl", "\n\n")); });
}

}  // namespace
}  // namespace guerdon::data
