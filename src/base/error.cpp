#include "guerdon/base/error.h"

#include <algorithm>
#include <cstdio>

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

namespace {
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}
}  // namespace

std::string nearest(std::string_view name, const std::vector<std::string>& candidates) {
  if (name.size() > 200) return {};
  std::string best;
  size_t least = std::max<size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(name, candidate);
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
