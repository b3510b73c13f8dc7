#include "guerdon/base/file.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon {
namespace {

namespace fs = std::filesystem;

/// Fails call number `fail_at` (of all that writing makes) with `error`, or cuts a write short.
class FailingCalls : public FileCalls {
 public:
  FailingCalls(int fail_at, int error) : fail_at_(fail_at), error_(error) { FileCalls::use(this); }
  ~FailingCalls() override { FileCalls::use(nullptr); }
  int count = 0;

  int open(const char* path, int flags, unsigned mode) override {
    return fails() ? -1 : FileCalls::open(path, flags, mode);
  }
  int64_t write(int descriptor, const char* data, size_t size) override {
    if (error_ == 0)
      return FileCalls::write(descriptor, data, std::min<size_t>(size, 3));  // short writes
    return fails() ? -1 : FileCalls::write(descriptor, data, size);
  }
  int fsync(int descriptor) override { return fails() ? -1 : FileCalls::fsync(descriptor); }
  int close(int descriptor) override {
    const int closed = FileCalls::close(descriptor);
    return fails() ? -1 : closed;
  }
  int rename(const char* from, const char* to) override {
    return fails() ? -1 : FileCalls::rename(from, to);
  }

 private:
  bool fails() {
    if (++count != fail_at_) return false;
    errno = error_;
    return true;
  }
  int fail_at_, error_;
};

TEST(WriteFile, HoldsOldOrNewWhicheverCallFails) {
  for (const int error : {ENOSPC, EIO, EDQUOT}) {
    for (int k = 1;; ++k) {
      const test::TemporaryFolder folder;
      const fs::path file = folder.file("f", "old");
      int calls_made = 0;
      {
        FailingCalls calls(k, error);
        try {
          write_file(file, "new content");
        } catch (const Error& e) {
          EXPECT_EQ(e.kind, Kind::surroundings);
        }
        calls_made = calls.count;
      }
      const std::string content = read_file(file);
      EXPECT_TRUE(content == "old" || content == "new content") << "call " << k << ": " << content;
      EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1)
          << "call " << k;
      if (calls_made < k) break;
    }
  }
}

TEST(WriteFile, GoesOnAfterAShortWrite) {
  const test::TemporaryFolder folder;
  FailingCalls calls(0, 0);
  write_file(folder.path() / "a" / "b", "more than three bytes");
  EXPECT_EQ(read_file(folder.path() / "a" / "b"), "more than three bytes");
}

TEST(NewFolder, AppearsAtOnceOrNotAtAll) {
  for (int k = 1;; ++k) {
    const test::TemporaryFolder folder;
    folder.file("target/old.txt", "old");
    int calls_made = 0;
    {
      FailingCalls calls(k, ENOSPC);
      try {
        NewFolder fresh(folder.path() / "target");
        fresh.add("a.txt", "aaa");
        fresh.add("sub/b.txt", [](const auto& put) { put("b"), put("bb"); });
        fresh.commit();
      } catch (const Error& e) {
        EXPECT_EQ(e.kind, Kind::surroundings);
      }
      calls_made = calls.count;
    }
    const bool is_old = fs::exists(folder.path() / "target" / "old.txt");
    const bool is_new = fs::exists(folder.path() / "target" / "a.txt") &&
                        fs::exists(folder.path() / "target" / "sub" / "b.txt");
    EXPECT_NE(is_old, is_new) << "call " << k;
    if (calls_made < k) {
      EXPECT_TRUE(is_new);
      break;
    }
  }
}

TEST(ReadFile, RefusesWhatIsNotThereOrTooLong) {
  const test::TemporaryFolder folder;
  const fs::path file = folder.file("f", "12345");
  EXPECT_NE(
      test::refusal(Kind::input, [&] { read_file(folder.path() / "g"); }).find("cannot be read"),
      std::string::npos);
  EXPECT_NE(test::refusal(Kind::input, [&] { read_file(folder.path()); }).find("is a folder"),
            std::string::npos);
  EXPECT_NE(test::refusal(Kind::input, [&] { read_file(file, 4); }).find("limit 4"),
            std::string::npos);
}

TEST(Sha256, GivesThePublishedDigest) {
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const test::TemporaryFolder folder;
  EXPECT_EQ(sha256_file(folder.file("f", "abc")), sha256("abc"));
  EXPECT_EQ(sha256_file(folder.file("e", "")), sha256(""));
  const std::string long_text(3'000'001, 'x');
  EXPECT_EQ(sha256_file(folder.file("l", long_text)), sha256(long_text));
  test::refusal(Kind::input, [&] { sha256_file(folder.path()); });
  test::refusal(Kind::input, [&] { sha256_file(folder.path() / "none"); });
}

TEST(FileLock, RefusesASecondHolderAndNamesTheFirst) {
  const test::TemporaryFolder folder;
  const FileLock lock(folder.path() / "lock");
  const std::string text =
      test::refusal(Kind::surroundings, [&] { FileLock second(folder.path() / "lock"); });
  EXPECT_NE(text.find("process " + std::to_string(::getpid())), std::string::npos) << text;
}

}  // namespace
}  // namespace guerdon
