/// SIGINT and SIGTERM as a polite request: the first asks a loop to stop, the second ends the
/// process at once.
#pragma once

namespace guerdon {

/// While one lives, the first SIGINT or SIGTERM is only noted (stop_signal), and a second one ends
/// the process at once with exit code 130 or 143. Afterwards the signals do what they did before;
/// what was noted stays.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
};

/// The signal that asked to stop, or 0. A loop asks between its steps.
int stop_signal();

/// Asks to stop as a signal would; 0 forgets the request (a second run in one process, tests).
void request_stop(int signal);

}  // namespace guerdon
