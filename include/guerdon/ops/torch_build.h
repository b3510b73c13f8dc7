/// What LibTorch this is, for `guerdon doctor` and the manifest of a run.
#pragma once

#include <string>

namespace guerdon::ops {

/// "2.11.0": the headers that guerdon was compiled with.
std::string torch_version();

/// The instruction set that LibTorch's own kernels chose on this machine: "AVX512", "AVX2",
/// "DEFAULT".
std::string torch_cpu_capability();

/// LibTorch's description of its build, many lines.
std::string torch_build();

}  // namespace guerdon::ops
