#include "guerdon/ops/torch_build.h"

#include <ATen/Version.h>
#include <torch/headeronly/version.h>

namespace guerdon::ops {

std::string torch_version() { return TORCH_VERSION; }
std::string torch_cpu_capability() { return at::get_cpu_capability(); }
std::string torch_build() { return at::show_config(); }

}  // namespace guerdon::ops
