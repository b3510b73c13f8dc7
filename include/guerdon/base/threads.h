/// Threads of the ground floor: a loop spread over the cores. (Operators use at::parallel_for.)
#pragma once

#include <cstdint>
#include <functional>

namespace guerdon {

/// How many threads parallel work uses: what set_thread_count said, else the cores that this
/// process may run on.
int thread_count();
/// 0 restores the default.
void set_thread_count(int count);

/// Calls `body(begin, end)` for pieces of [0, size) on up to thread_count() threads, this one among
/// them, and returns when all are done. Pieces hold at least `grain` items; which thread gets which
/// is open, so results must not depend on it. The first exception of a body is thrown here, after
/// all threads have stopped; pieces not begun by then are left out.
void parallel_for(int64_t size, int64_t grain,
                  const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace guerdon
