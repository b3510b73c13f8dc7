// A run that is killed at any moment loses nothing but the steps since its last checkpoint, and
// ends as the run that nobody killed.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>

#include "guerdon/train/checkpoint.h"
#include "support/temporary.h"
#include "train/toy.h"

namespace guerdon::train {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSteps = 60;
constexpr int kKills = 20;
constexpr const char* kFolder = "GUERDON_TEST_RUN_FOLDER";

void train_in(const fs::path& folder) {
  test::Toy toy({.rows = 100, .evaluates = true});
  TrainSettings settings = test::toy_settings(kSteps);
  settings.save_strategy = "steps";
  settings.save_steps = 1;
  settings.save_total_limit = 2;
  settings.eval_strategy = "steps";
  settings.eval_steps = 7;
  test::train_toy(toy, settings, folder, /*resume=*/true);
}

// What the killed process runs: this program again, with this test alone.
TEST(Killed, DISABLED_Child) {
  const char* folder = std::getenv(kFolder);
  ASSERT_NE(folder, nullptr);
  train_in(folder);
}

pid_t start(const fs::path& folder) {
  const std::string program = fs::read_symlink("/proc/self/exe");
  const pid_t child = ::fork();
  if (child != 0) return child;
  if (!std::freopen("/dev/null", "w", stdout)) ::_exit(127);
  ::setenv(kFolder, folder.c_str(), 1);
  ::execl(program.c_str(), program.c_str(), "--gtest_also_run_disabled_tests",
          "--gtest_filter=Killed.DISABLED_Child", "--gtest_brief=1", nullptr);
  ::_exit(127);
}

std::string metrics(const fs::path& run) {
  std::string out;
  std::istringstream text(read_file(run / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    Json json = parse_json(line, "metrics.jsonl");
    for (const char* name : {"step_time", "tokens_per_second", "peak_memory_mb"}) json.erase(name);
    out += json.dump() + "\n";
  }
  return out;
}

TEST(Killed, EndsAsTheRunThatNobodyKilled) {
  const test::TemporaryFolder folder;
  train_in(folder.path() / "whole");
  const std::string last = checkpoint_name(kSteps) + "/state.safetensors";

  // Not seeded: any moment has to do.
  std::mt19937 random(std::random_device{}());
  int kills = 0;
  for (int run = 0; kills < kKills; ++run) {
    const fs::path killed = folder.path() / std::to_string(run);
    for (bool done = false; !done;) {
      const pid_t child = start(killed);
      // Long enough to begin (it is loaded, and resumes), short enough not to end.
      const bool last_one = kills >= kKills;
      if (!last_one) ::usleep(200'000 + random() % 600'000);
      if (!last_one && ::waitpid(child, nullptr, WNOHANG) == 0) {
        ::kill(child, SIGKILL);
        ++kills;
      }
      int status = 0;
      if (::waitpid(child, &status, 0) < 0) status = 0;  // it was waited for above: it ended
      done = last_one || fs::exists(killed / "model");
      ASSERT_TRUE(!last_one || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
      for (const fs::path& checkpoint : list_checkpoints(killed / "checkpoints")) {
        EXPECT_NO_THROW(verify_checkpoint(checkpoint));
      }
    }
    // Killed after its end was written, or left to end: resuming once more changes nothing.
    train_in(killed);
    EXPECT_EQ(metrics(killed), metrics(folder.path() / "whole"));
    EXPECT_EQ(read_file(killed / "checkpoints" / last),
              read_file(folder.path() / "whole" / "checkpoints" / last));
  }
}

}  // namespace
}  // namespace guerdon::train
