#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace guerdon::text {

/// The bytes that base64 stands for, or nothing when it is malformed. Padding may be missing.
std::optional<std::string> base64(std::string_view text);
/// The other way, with padding.
std::string to_base64(std::string_view bytes);

}  // namespace guerdon::text
