#include <cstdlib>
#include <string_view>

#include "kernels.h"

namespace guerdon::kernels {

const Kernels& avx2_kernels();
const Kernels& avx512_kernels();

const Kernels& kernels() {
  static const Kernels& chosen = [&]() -> const Kernels& {
    const char* wish = std::getenv("GUERDON_KERNELS");  // "avx2": for comparing the two
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    return wide && !(wish && std::string_view(wish) == "avx2") ? avx512_kernels() : avx2_kernels();
  }();
  return chosen;
}

}  // namespace guerdon::kernels
