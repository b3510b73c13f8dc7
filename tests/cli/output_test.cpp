#include "cli/output.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "guerdon/base/file.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::cli {
namespace {

namespace fs = std::filesystem;

TEST(Output, AppearsWholeAtClose) {
  const test::TemporaryFolder folder;
  const fs::path file = folder.path() / "scores.jsonl";
  Output output(file.string());
  output.line("{}");
  EXPECT_FALSE(fs::exists(file));
  output.close();
  EXPECT_EQ(read_file(file), "{}\n");
}

TEST(Output, OfACommandThatFailsLeavesTheOlderFile) {
  const test::TemporaryFolder folder;
  const fs::path file = folder.file("scores.jsonl", "old");
  {
    Output output(file.string());
    output.write(std::string(1 << 20, 'x'));
  }
  EXPECT_EQ(read_file(file), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(Output, WritesThroughALink) {
  const test::TemporaryFolder folder;
  const fs::path file = folder.file("real.jsonl", "old");
  fs::create_symlink("real.jsonl", folder.path() / "link.jsonl");
  Output output((folder.path() / "link.jsonl").string());
  output.write("new");
  output.close();
  EXPECT_EQ(read_file(file), "new");
  EXPECT_TRUE(fs::is_symlink(folder.path() / "link.jsonl"));
}

TEST(Output, LeavesDevicesInPlace) {
  Output output("/dev/null");
  output.line("gone");
  output.close();
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST(Output, RefusesAFolder) {
  const test::TemporaryFolder folder;
  EXPECT_NE(test::refusal(Kind::settings, [&] { Output output(folder.path().string()); })
                .find("is a folder"),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon::cli
