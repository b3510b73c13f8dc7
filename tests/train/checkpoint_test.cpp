#include "guerdon/train/checkpoint.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>

#include "guerdon/base/random.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::train {
namespace {

namespace fs = std::filesystem;

optim::State state() {
  optim::State s;
  s.tensors = {{"weight", at::arange(100, at::kFloat)}, {"weight.m", at::rand({100})}};
  s.integers = {{"step", 3}};
  s.numbers = {{"best", 0.25}};
  return s;
}

void save_model(NewFolder& folder) {
  model::add_tensors(folder, "model.safetensors", {{"w", at::ones({10})}});
  folder.add("config.json", "{\"model_type\": \"toy\"}\n");
}

fs::path write(const fs::path& checkpoints, int64_t step) {
  return write_checkpoint(checkpoints, {step, "settings", "data"}, state(), save_model);
}

TEST(Checkpoint, ComesBack) {
  const test::TemporaryFolder folder;
  const fs::path checkpoint = write(folder.path(), 100);
  EXPECT_EQ(checkpoint.filename(), "step-000100");
  const CheckpointInfo info = verify_checkpoint(checkpoint);
  EXPECT_EQ(info.step, 100);
  EXPECT_EQ(info.settings_sha256, "settings");
  EXPECT_EQ(info.data_fingerprint, "data");
  const optim::State back = load_state(checkpoint);
  EXPECT_TRUE(back.tensors[0].second.equal(at::arange(100, at::kFloat)));
  EXPECT_EQ(back.integers.at("step"), 3);
  EXPECT_EQ(back.numbers.at("best"), 0.25);
}

TEST(Checkpoint, EverySingleBitThatFlipsIsSeen) {
  const test::TemporaryFolder folder;
  const fs::path checkpoint = write(folder.path(), 100);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(checkpoint)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  ASSERT_EQ(files.size(), 5u);
  Random random(1, Purpose::choose);
  for (int i = 0; i < 200; ++i) {
    const fs::path& file = files[random.next_below(files.size())];
    const std::string right = read_file(file);
    std::string wrong = right;
    const uint64_t bit = random.next_below(8 * right.size());
    wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ (1 << (bit % 8)));
    std::ofstream(file, std::ios::binary) << wrong;
    test::refusal(Kind::input, [&] { verify_checkpoint(checkpoint); });
    std::ofstream(file, std::ios::binary) << right;
  }
  EXPECT_NO_THROW(verify_checkpoint(checkpoint));
}

TEST(Checkpoint, MissingCutAndForeignFilesAreSeen) {
  const test::TemporaryFolder folder;
  for (const char* name :
       {"model.safetensors", "config.json", "state.safetensors", "state.json", "manifest.json"}) {
    fs::path checkpoint = write(folder.path(), 1);
    fs::resize_file(checkpoint / name, fs::file_size(checkpoint / name) - 1);
    test::refusal(Kind::input, [&] { verify_checkpoint(checkpoint); });
    checkpoint = write(folder.path(), 1);
    fs::remove(checkpoint / name);
    test::refusal(Kind::input, [&] { verify_checkpoint(checkpoint); });
  }
  const fs::path checkpoint = write(folder.path(), 1);
  std::ofstream(checkpoint / "more.txt") << "x";
  test::refusal(Kind::input, [&] { verify_checkpoint(checkpoint); });
}

TEST(Checkpoint, OneOfAnotherStepUnderThisNameIsRefused) {
  const test::TemporaryFolder folder;
  fs::rename(write(folder.path(), 1), folder.path() / "step-000002");
  test::refusal(Kind::input, [&] { verify_checkpoint(folder.path() / "step-000002"); });
}

TEST(NewestIntact, FallsBackPastDamageAndIgnoresWhatIsHalfMade) {
  const test::TemporaryFolder folder;
  EXPECT_FALSE(newest_intact(folder.path()));
  write(folder.path(), 1);
  write(folder.path(), 2);
  write(folder.path(), 30);
  fs::create_directory(folder.path() / ".tmp-step-000040-abc");
  fs::create_directory(folder.path() / "step-xyz");
  EXPECT_EQ(newest_intact(folder.path())->filename(), "step-000030");
  fs::resize_file(folder.path() / "step-000030" / "state.safetensors", 20);
  EXPECT_EQ(newest_intact(folder.path())->filename(), "step-000002");
}

TEST(Prune, KeepsTheNewestAndTheBest) {
  const test::TemporaryFolder folder;
  for (const int64_t step : {1, 2, 3, 4, 5}) write(folder.path(), step);
  fs::create_directory(folder.path() / ".tmp-step-000006-abc");
  prune_checkpoints(folder.path(), 2, 1);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"step-000001", "step-000004", "step-000005"}));
}

TEST(LinkModel, HoldsTheModelsFilesAlone) {
  const test::TemporaryFolder folder;
  const fs::path checkpoint = write(folder.path() / "checkpoints", 1);
  link_model(checkpoint, folder.path() / "model");
  link_model(checkpoint, folder.path() / "model");  // replaces
  EXPECT_TRUE(fs::equivalent(folder.path() / "model" / "model.safetensors",
                             checkpoint / "model.safetensors"));
  EXPECT_EQ(
      std::distance(fs::directory_iterator(folder.path() / "model"), fs::directory_iterator()), 2);
}

/// Fails call number `fail_at` of all that writing makes.
class FailingCalls : public FileCalls {
 public:
  FailingCalls(int fail_at, int error) : fail_at_(fail_at), error_(error) { FileCalls::use(this); }
  ~FailingCalls() override { FileCalls::use(nullptr); }
  int count = 0;

  int open(const char* path, int flags, unsigned mode) override {
    return fails() ? -1 : FileCalls::open(path, flags, mode);
  }
  int64_t write(int descriptor, const char* data, size_t size) override {
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

TEST(Checkpoint, WhicheverCallFailsTheOlderOneStaysAndTheNewOneIsWholeOrNotThere) {
  for (const int error : {ENOSPC, EIO}) {
    for (int k = 1;; ++k) {
      const test::TemporaryFolder folder;
      write(folder.path(), 1);
      int calls_made = 0;
      bool failed = false;
      {
        FailingCalls calls(k, error);
        try {
          write(folder.path(), 2);
        } catch (const Error& e) {
          EXPECT_EQ(e.kind, Kind::surroundings) << e.what();
          failed = true;
        }
        calls_made = calls.count;
      }
      EXPECT_NO_THROW(verify_checkpoint(folder.path() / "step-000001"));
      for (const auto& entry : fs::directory_iterator(folder.path())) {
        EXPECT_TRUE(entry.path().filename().string().starts_with("step-")) << entry.path();
      }
      const fs::path newer = folder.path() / "step-000002";
      if (fs::exists(newer)) {
        EXPECT_NO_THROW(verify_checkpoint(newer)) << "call " << k;
      }
      EXPECT_TRUE(failed || fs::exists(newer));
      if (calls_made < k) break;
    }
  }
}

TEST(Checkpoint, AModelThatRefusesItselfLeavesNothing) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(write_checkpoint(folder.path(), {1, "s", "d"}, state(),
                                [](NewFolder&) { fail_stopped("model", "other scores"); }),
               Error);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

}  // namespace
}  // namespace guerdon::train
