#include "guerdon/base/error.h"

#include <algorithm>
#include <cstdio>

#include "guerdon/base/edit_distance.h"
#include "guerdon/base/utf8.h"

namespace guerdon {

std::string show(std::string_view value) {
  constexpr size_t kShown = 80;
  std::string out = "\"";
  size_t shown = 0;
  for (size_t at = 0; at < value.size(); ++shown) {
    if (shown == kShown) {
      out += "...";
      break;
    }
    const size_t length = utf8_length(value.substr(at));
    const auto byte = static_cast<unsigned char>(value[at]);
    if (length == 0 || byte < 0x20 || byte == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
      out += byte == '\n' ? "\\n" : byte == '\t' ? "\\t" : byte == '\r' ? "\\r" : escaped;
      at += 1;
    } else {
      if (byte == '"' || byte == '\\') out += '\\';
      out += value.substr(at, length);
      at += length;
    }
  }
  return out + "\"";
}

std::string nearest(std::string_view name, const std::vector<std::string>& candidates) {
  if (name.size() > 200) return {};
  std::string best;
  size_t least = std::max<size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(name, std::string_view(candidate));
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates) {
  const std::string candidate = nearest(name, candidates);
  return candidate.empty() ? "" : " (did you mean \"" + candidate + "\"?)";
}

}  // namespace guerdon
