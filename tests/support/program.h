/// Running the built program, as its users do: through a shell.
#pragma once

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>

#include "support/data.h"

namespace guerdon::test {

struct Ran {
  int code = 0;     ///< the exit code; 128 + the signal's number when a signal ended it
  std::string out;  ///< standard output, and standard error where the arguments say 2>&1
};

/// Runs `BEFORE guerdon ARGUMENTS`. The shell reads both, so that they may redirect, set variables,
/// change the folder.
inline Ran run_guerdon(const std::string& arguments, const std::string& before = {}) {
  Ran ran;
  FILE* pipe = ::popen((before + "'" + program().string() + "' " + arguments).c_str(), "r");
  if (!pipe) return {127, "popen failed"};
  std::array<char, 4096> buffer;
  for (size_t count; (count = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    ran.out.append(buffer.data(), count);
  }
  const int status = ::pclose(pipe);
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ran;
}

}  // namespace guerdon::test
