/// Settings of TRL and Transformers that guerdon does not have: someone who brings a settings file
/// over is told why, and what to write instead.
#pragma once

#include <string>
#include <string_view>

namespace guerdon::train {

/// The way out for such a setting, "" for any other name.
std::string trl_advice(std::string_view name);

}  // namespace guerdon::train
