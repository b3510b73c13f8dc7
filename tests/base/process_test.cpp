#include "guerdon/base/process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon {
namespace {

ProcessResult shell(const std::string& script, double timeout_s = 20, const std::string& input = {},
                    ProcessOptions options = {}) {
  options.command = {"sh", "-c", script};
  return run_process(options, timeout_s, input);
}

TEST(Process, GivesOutputErrorsAndCode) {
  const ProcessResult result = shell("cat; echo wrong >&2; exit 3", 20, "right");
  EXPECT_EQ(result.output, "right");
  EXPECT_EQ(result.errors, "wrong\n");
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.signal, 0);
  EXPECT_FALSE(result.good());
}

TEST(Process, TellsTheSignal) { EXPECT_EQ(shell("kill -9 $$").signal, SIGKILL); }

TEST(Process, TakesMoreThanAPipeHolds) {
  const std::string megabytes(3 << 20, 'x');
  EXPECT_EQ(shell("cat", 20, megabytes).output, megabytes);
}

TEST(Process, OutlivesAChildThatReadsNothing) {
  EXPECT_TRUE(shell("exit 0", 20, std::string(3 << 20, 'x')).good());
}

TEST(Process, KillsWhatTakesTooLong) {
  const ProcessResult result = shell("trap '' TERM INT; while :; do sleep 1; done", 0.2);
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.signal, SIGKILL);
}

TEST(Process, KillsWhatTheChildStarted) {
  const test::TemporaryFolder folder;
  ProcessOptions options;
  options.folder = folder.path();
  const ProcessResult result = shell("sleep 1000 & echo $!", 20, {}, options);
  EXPECT_TRUE(result.good());  // did not wait for the sleep, which holds the output open
  const pid_t sleeper = std::stoi(result.output);
  // A killed orphan stays visible until init has reaped it.
  const std::filesystem::path proc = "/proc/" + std::to_string(sleeper) + "/cmdline";
  bool gone = false;
  for (int i = 0; i < 200 && !gone; ++i) {
    std::ifstream file(proc);
    std::string text;
    gone = !(file >> text);
    if (!gone) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(gone);
}

TEST(Process, KillsWhatWritesTooMuch) {
  ProcessOptions options;
  options.max_output = 1000;
  options.max_errors = 10;
  const ProcessResult result = shell("echo 0123456789abcdef >&2; yes", 20, {}, options);
  EXPECT_TRUE(result.too_long);
  EXPECT_EQ(result.output.size(), 1000U);
  EXPECT_EQ(result.errors, "789abcdef\n");
}

TEST(Process, KeepsTheLimitsOfTheKernel) {
  ProcessOptions options;
  options.limits = {
      .memory_bytes = uint64_t{1} << 28, .cpu_s = 7, .file_bytes = 4096, .open_files = 16};
  const ProcessResult result =
      shell("ulimit -v; ulimit -t; ulimit -f; ulimit -n; ulimit -c", 20, {}, options);
  EXPECT_EQ(result.output, "262144\n7\n8\n16\n0\n");
}

TEST(Process, GivesTheEnvironmentAsAsked) {
  ProcessOptions options;
  options.environment = {{"GUERDON_TEST", "1"}};
  EXPECT_EQ(shell("echo $GUERDON_TEST ${PATH:+path}", 20, {}, options).output, "1 path\n");
  options.clear_environment = true;
  options.command = {"env"};
  EXPECT_EQ(run_process(options, 20).output, "GUERDON_TEST=1\n");
}

TEST(Process, HidesOurDescriptors) {
  const int ours = ::dup(2);  // without close-on-exec
  const ProcessResult result = shell("ls /proc/self/fd | wc -l");
  ::close(ours);
  EXPECT_EQ(std::stoi(result.output), 4);  // 0, 1, 2 and the folder that ls reads
}

TEST(Process, RefusesWhatIsNoProgram) {
  EXPECT_EQ(
      test::refusal(Kind::settings, [] { run_process({.command = {"no-such-program-here"}}, 1); }),
      "command \"no-such-program-here\": no such program in PATH");
  const test::TemporaryFolder folder;
  const std::string file = folder.file("notes.txt", "text").string();
  EXPECT_NE(test::refusal(Kind::settings, [&] { run_process({.command = {file}}, 1); })
                .find("is no program that can be run"),
            std::string::npos);
}

TEST(Process, SaysWhyItCouldNotStart) {
  ProcessOptions options{.command = {"true"}, .folder = "/no/such/folder"};
  EXPECT_NE(
      test::refusal(Kind::surroundings, [&] { run_process(options, 1); }).find("No such file"),
      std::string::npos);
}

TEST(Process, IsSpokenToInLines) {
  Process child(
      {.command = {"sh", "-c", "while read line; do echo \"got $line\"; done; printf rest"}});
  for (const std::string line : {"one", "two"}) {
    const Process::Reply reply = child.ask(line + "\n", 20);
    EXPECT_EQ(reply.status, Process::Status::line);
    EXPECT_EQ(reply.text, "got " + line);
  }
  const ProcessResult result = child.finish(20);
  EXPECT_TRUE(result.good());
  EXPECT_EQ(result.output, "rest");
}

TEST(Process, TellsThatTheOtherSideIsGoneSlowOrTalkative) {
  Process gone({.command = {"sh", "-c", "printf half"}});
  const Process::Reply reply = gone.ask("", 20);
  EXPECT_EQ(reply.status, Process::Status::ended);
  EXPECT_EQ(reply.text, "half");

  Process slow({.command = {"sleep", "1000"}});
  EXPECT_EQ(slow.ask("hello\n", 0.05).status, Process::Status::timed_out);

  ProcessOptions options{.command = {"sh", "-c", "yes | tr -d '\\n'"}};
  options.max_output = 1 << 20;
  Process talkative(options);
  EXPECT_EQ(talkative.ask("", 20).status, Process::Status::too_long);
}

TEST(Process, IsKilledWithItsObject) {
  pid_t id = 0;
  {
    const Process child({.command = {"sleep", "1000"}});
    id = child.id();
    EXPECT_EQ(::kill(id, 0), 0);
  }
  EXPECT_EQ(::kill(id, 0), -1);
}

TEST(FindProgram, LooksThroughThePath) {
  EXPECT_TRUE(find_program("sh").has_value());
  EXPECT_FALSE(find_program("").has_value());
  EXPECT_FALSE(find_program("no-such-program-here").has_value());
  EXPECT_EQ(find_program("/bin/sh"), "/bin/sh");
}

}  // namespace
}  // namespace guerdon
