#include "guerdon/base/signals.h"

#include <unistd.h>
#include <csignal>

#include <atomic>

#include "guerdon/base/error.h"

namespace guerdon {
namespace {

// The handler may only touch what is lock-free.
std::atomic<int> noted = 0;
static_assert(std::atomic<int>::is_always_lock_free);

struct sigaction before_int, before_term;
std::atomic<bool> installed = false;

void note(int signal) {
  int none = 0;
  if (!noted.compare_exchange_strong(none, signal)) ::_exit(128 + signal);
}

}  // namespace

StopSignals::StopSignals() {
  GUERDON_CHECK(!installed.exchange(true), "only one StopSignals may live at a time");
  struct sigaction action {};
  action.sa_handler = note;
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, &before_int);
  ::sigaction(SIGTERM, &action, &before_term);
}

StopSignals::~StopSignals() {
  ::sigaction(SIGINT, &before_int, nullptr);
  ::sigaction(SIGTERM, &before_term, nullptr);
  installed = false;
}

int stop_signal() { return noted; }
void request_stop(int signal) { noted = signal; }

}  // namespace guerdon
