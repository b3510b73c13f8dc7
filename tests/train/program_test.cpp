// `guerdon train` and `guerdon config`, through the program.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/train/checkpoint.h"
#include "guerdon/train/run_folder.h"
#include "support/program.h"
#include "support/temporary.h"

namespace guerdon::train {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> arguments(const fs::path& output, const std::vector<std::string>& more) {
  std::vector<std::string> out = {"guerdon",
                                  "train",
                                  "sft",
                                  "model_name_or_path=" + test::fixture("trl/model").string(),
                                  "data.train=" + test::fixture("trl/completions.jsonl").string(),
                                  "per_device_train_batch_size=4",
                                  "save_strategy=no",
                                  "--output",
                                  output.string()};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

pid_t start(std::vector<std::string> words) {
  const std::string program = test::program();
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child != 0) return child;
  for (FILE* stream : {stdout, stderr}) {
    if (!std::freopen("/dev/null", "w", stream)) ::_exit(127);
  }
  ::execv(program.c_str(), argv.data());
  ::_exit(127);
}

int exit_code(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool has_steps(const fs::path& run) {
  const fs::path file = run / "metrics.jsonl";
  return fs::exists(file) && fs::file_size(file) > 0;
}

TEST(TrainCommand, StopsPolitelyOnASignalAndGoesOn) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const test::TemporaryFolder folder;
    const fs::path run = folder.path() / "run";
    const pid_t child = start(arguments(run, {"max_steps=1000000"}));
    // The signal comes while it trains, however slow the machine is.
    while (!has_steps(run)) ::usleep(10'000);
    ::kill(child, signal);
    EXPECT_EQ(exit_code(child), 128 + signal);

    const RunManifest manifest = *read_run_manifest(run);
    EXPECT_EQ(manifest.status, RunStatus::interrupted);
    EXPECT_EQ(newest_intact(run / "checkpoints")->filename(), checkpoint_name(manifest.step));
    EXPECT_TRUE(fs::exists(run / "report.html"));

    const std::string more = "max_steps=" + std::to_string(manifest.step + 2);
    EXPECT_EQ(exit_code(start(arguments(run, {more, "--resume", "checkpoint.allow_changed=true"}))),
              0);
    EXPECT_EQ(read_run_manifest(run)->status, RunStatus::finished);
    EXPECT_EQ(read_run_manifest(run)->step, manifest.step + 2);
    EXPECT_TRUE(fs::exists(run / "model" / "model.safetensors"));
  }
}

TEST(TrainCommand, TakesAFileThatConfigWrote) {
  const test::TemporaryFolder folder;
  for (const char* method : {"sft", "reward", "dpo", "grpo"}) {
    EXPECT_EQ(test::run_guerdon("config " + std::string(method)).code, 0) << method;
  }
  const std::string file = (folder.path() / "sft.json").string();
  EXPECT_EQ(test::run_guerdon("config sft -o " + file).code, 0);
  const test::Ran ran =
      test::run_guerdon("train sft --config " + file +
                        " max_steps=2 model_name_or_path=" + test::fixture("trl/model").string() +
                        " data.train=" + test::fixture("trl/completions.jsonl").string() +
                        " --output " + (folder.path() / "run").string() + " 2>/dev/null");
  EXPECT_EQ(ran.code, 0);
  const Json summary = parse_json(ran.out, "output");
  EXPECT_EQ(summary["status"], "finished");
  EXPECT_EQ(summary["step"], 2);
}

TEST(TrainCommand, RefusesWithTheCodeOfWhoseFaultItIs) {
  EXPECT_EQ(test::run_guerdon("train dqo 2>&1").code, 2);
  EXPECT_EQ(test::run_guerdon("train dpo 2>&1").code, 2);
  const test::Ran ran = test::run_guerdon(
      "train dpo model_name_or_path=/nowhere data.train=/nowhere/x.jsonl --output /tmp/guerdon-x-" +
      std::to_string(::getpid()) + " 2>&1");
  EXPECT_EQ(ran.code, 3);
  EXPECT_NE(ran.out.find("/nowhere"), std::string::npos) << ran.out;
  fs::remove_all("/tmp/guerdon-x-" + std::to_string(::getpid()));
}

}  // namespace
}  // namespace guerdon::train
