// The program as its users meet it: through a shell.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/program.h"

namespace guerdon::test {
namespace {

TEST(Program, ListsItsCommands) {
  const Ran ran = run_guerdon("--help");
  EXPECT_EQ(ran.code, 0);
  EXPECT_NE(ran.out.find("Commands:"), std::string::npos);
  EXPECT_NE(ran.out.find("version "), std::string::npos);
}

/// The names that a help text lists under "Commands:".
std::vector<std::string> commands_in(const std::string& help) {
  std::vector<std::string> names;
  const size_t title = help.find("Commands:\n");
  if (title == std::string::npos) return names;
  std::istringstream lines(help.substr(title + 10));
  for (std::string line; std::getline(lines, line) && line.starts_with("  ");) {
    if (line[2] != ' ') names.push_back(line.substr(2, line.find(' ', 2) - 2));
  }
  return names;
}

void expect_examples(const std::string& command) {
  const Ran ran = run_guerdon(command + " --help 2>&1");
  if (!GUERDON_UPPER_FLOOR && ran.code == 4) {
    EXPECT_NE(ran.out.find("this is a build without LibTorch"), std::string::npos) << ran.out;
    return;
  }
  EXPECT_EQ(ran.code, 0) << command;
  EXPECT_NE(ran.out.find("Example: "), std::string::npos) << ran.out;
  for (const std::string& name : commands_in(ran.out)) expect_examples(command + " " + name);
}

TEST(Program, EveryCommandHelpsWithAnExample) {
  EXPECT_FALSE(commands_in(run_guerdon("--help").out).empty());
  expect_examples("");
}

TEST(Program, SaysWhatIsWrongWithTheCommandLine) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "guerdon: error: guerdon: a command is expected\n"},
      {"verson",
       "guerdon: error: command line: guerdon has no command \"verson\" (did you mean "
       "\"version\"?)\n"},
      {"version --quite",
       "guerdon: error: flag --quite: no such flag of guerdon version (did you mean "
       "\"--quiet\"?)\n"},
      {"version more",
       "guerdon: error: command line: guerdon version takes no argument \"more\"\n"},
      {"version --threads none", "guerdon: error: flag --threads: "},
      {"--threads 0 version", "guerdon: error: flag --threads: "},
  };
  for (const auto& [arguments, expected] : cases) {
    const Ran ran = run_guerdon(arguments + " 2>&1");
    EXPECT_EQ(ran.code, 2) << arguments;
    EXPECT_EQ(ran.out.substr(0, expected.size()), expected);
    EXPECT_NE(ran.out.find("\n  hint: guerdon"), std::string::npos) << ran.out;
  }
}

TEST(Program, CommonFlagsStandBeforeOrAfterTheCommand) {
  EXPECT_EQ(run_guerdon("--threads 2 version").code, 0);
  EXPECT_EQ(run_guerdon("version --threads=2 --quiet").code, 0);
}

TEST(Program, WantsSomewhereToWriteItsResults) {
  EXPECT_EQ(run_guerdon("version >&- 2>/dev/null").code, 4);
  EXPECT_EQ(run_guerdon("version >/dev/full 2>/dev/null").code, 4);
  EXPECT_EQ(run_guerdon("version 2>&-").code, 0);
}

TEST(Program, EndsQuietlyWhenItsReaderIsGone) {
  std::array<int, 2> ends;
  ASSERT_EQ(::pipe(ends.data()), 0);
  ::close(ends[0]);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::execl(program().c_str(), "guerdon", "version", nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE) << status;
}

}  // namespace
}  // namespace guerdon::test
