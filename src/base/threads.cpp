#include "guerdon/base/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "guerdon/base/error.h"

namespace guerdon {
namespace {

std::atomic<int> chosen_count = 0;

// Cores that this process may run on (a container's share), not those of the machine.
int available_cores() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

}  // namespace

int thread_count() {
  const int chosen = chosen_count;
  return chosen > 0 ? chosen : available_cores();
}

void set_thread_count(int count) {
  GUERDON_CHECK(count >= 0, "set_thread_count: must not be negative, got ", count);
  chosen_count = count;
}

void parallel_for(int64_t size, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  GUERDON_CHECK(size >= 0 && grain > 0, "parallel_for: size ", size, ", grain ", grain);
  // Four pieces a thread even out pieces of unequal weight.
  const int64_t pieces_wanted = int64_t{4} * thread_count();
  const int64_t piece = std::max(grain, (size + pieces_wanted - 1) / pieces_wanted);
  const int64_t pieces = (size + piece - 1) / piece;
  const int64_t threads = std::min<int64_t>(thread_count(), pieces);

  std::atomic<int64_t> next = 0;
  std::atomic<bool> failed = false;
  std::exception_ptr first;
  std::mutex mutex;
  const auto work = [&] {
    for (int64_t p = 0; !failed && (p = next++) < pieces;) {
      try {
        body(p * piece, std::min(size, (p + 1) * piece));
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!first) first = std::current_exception();
        failed = true;
      }
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (int64_t t = 1; t < threads; ++t) helpers.emplace_back(work);
    work();
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace guerdon
