#include <csetjmp>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <ucontext.h>

#include "cuda_runtime.h"

namespace guerdon::emulator {

dim3 thread, block;

namespace {

constexpr unsigned kWarp = 32;
constexpr size_t kStack = size_t{64} << 10;

enum class State { fresh, ready, waits_for_warp, waits_for_block, done };

/// The first entry is by ucontext; after it threads are left and entered by longjmp, which makes no
/// system call.
struct Fiber {
  State state = State::fresh;
  unsigned exchanges = 0;
  jmp_buf place;
  ucontext_t first;
  std::unique_ptr<char[]> stack = std::make_unique_for_overwrite<char[]>(kStack);
};

struct Warp {
  unsigned waiting = 0;
  uint64_t values[2][kWarp];  // in turn, so that one barrier an exchange will do
};

std::mutex one_at_a_time;
std::vector<Fiber> fibers;
std::vector<Warp> warps;
unsigned current, size, block_waiting;
jmp_buf scheduler;
const std::function<void()>* work;

/// Leaves the fiber; comes back when the scheduler enters it again.
void pause(State state) {
  fibers[current].state = state;
  if (_setjmp(fibers[current].place) == 0) _longjmp(scheduler, 1);
}

void entry() {
  (*work)();
  fibers[current].state = State::done;
  _longjmp(scheduler, 1);
}

/// Runs the fiber until it waits or ends.
void enter(unsigned i) {
  current = i;
  thread = dim3(i, 0, 0);
  Fiber& fiber = fibers[i];
  if (_setjmp(scheduler) != 0) return;
  if (fiber.state == State::fresh) {
    getcontext(&fiber.first);
    fiber.first.uc_stack.ss_sp = fiber.stack.get();
    fiber.first.uc_stack.ss_size = kStack;
    fiber.first.uc_link = nullptr;
    makecontext(&fiber.first, entry, 0);
    setcontext(&fiber.first);
  }
  _longjmp(fiber.place, 1);
}

bool runs(const Fiber& fiber) { return fiber.state == State::fresh || fiber.state == State::ready; }

/// Whether some thread of the warp ran.
bool run_warp(unsigned first) {
  bool any = false, again = true;
  while (again) {
    again = false;
    for (unsigned i = first; i < std::min(first + kWarp, size); ++i) {
      if (!runs(fibers[i])) continue;
      enter(i);
      any = again = true;
    }
  }
  return any;
}

void run_block() {
  for (unsigned i = 0; i < size; ++i) fibers[i].state = State::fresh, fibers[i].exchanges = 0;
  for (Warp& warp : warps) warp.waiting = 0;
  block_waiting = 0;
  for (;;) {
    bool any = false;
    unsigned done = 0;
    for (unsigned first = 0; first < size; first += kWarp) any = run_warp(first) || any;
    for (unsigned i = 0; i < size; ++i) done += fibers[i].state == State::done;
    if (done == size) return;
    if (!any) {
      throw std::logic_error("a barrier in a kernel: " + std::to_string(done) + " of " +
                             std::to_string(size) + " threads have ended, " +
                             std::to_string(block_waiting) +
                             " wait for the block, the others for their warps");
    }
  }
}

}  // namespace

int lane() { return static_cast<int>(current % kWarp); }

void wait_for_block() {
  if (++block_waiting < size) return pause(State::waits_for_block);
  block_waiting = 0;
  for (unsigned i = 0; i < size; ++i) fibers[i].state = State::ready;
}

const uint64_t* exchange(unsigned mask, uint64_t value) {
  const unsigned first = current / kWarp * kWarp, last = std::min(first + kWarp, size);
  Warp& warp = warps[current / kWarp];
  uint64_t* values = warp.values[fibers[current].exchanges++ % 2];
  values[current % kWarp] = value;
  // A mask that leaves lanes out would let them miss the barrier: these kernels have none such.
  if (mask != 0xffffffffu || last - first < kWarp || ++warp.waiting < kWarp) {
    pause(State::waits_for_warp);
    return values;
  }
  warp.waiting = 0;
  for (unsigned i = first; i < last; ++i) fibers[i].state = State::ready;
  return values;
}

void run(dim3 grid, dim3 block_size, const std::function<void()>& body) {
  const std::lock_guard lock(one_at_a_time);
  size = block_size.x;
  work = &body;
  if (fibers.size() < size) fibers.resize(size);
  warps.assign((size + kWarp - 1) / kWarp, {});
  for (unsigned b = 0; b < grid.x; ++b) {
    block = dim3(b, 0, 0);
    run_block();
  }
}

}  // namespace guerdon::emulator
