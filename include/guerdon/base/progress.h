/// How far a long task is. The library tells it to a callback; the program draws.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace guerdon {

struct Progress {
  std::string task;    ///< what is being done: "training the reward model"
  int64_t done = 0;    ///< units done so far, counted from the task's start
  int64_t total = 0;   ///< all units; 0 when nobody knows
  std::string unit;    ///< what is counted: "step", "row"
  int64_t tokens = 0;  ///< tokens done so far; 0 when the task has none
  std::string note;    ///< what else is worth a glance: "loss 0.412"
};

/// May be empty: nobody wants to know.
using ProgressSink = std::function<void(const Progress&)>;

}  // namespace guerdon
