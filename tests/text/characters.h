/// Spans as Python counts them, for comparison with its own.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "guerdon/text/chat_template.h"

namespace guerdon::text {

using Spans = std::vector<std::pair<int64_t, int64_t>>;

inline int64_t characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

inline Spans in_characters(const Rendered& rendered) {
  const std::string_view text = rendered.text;
  const auto count = [&](int64_t byte) {
    return characters(text.substr(0, static_cast<size_t>(byte)));
  };
  Spans spans;
  for (const auto& [begin, end] : rendered.assistant) spans.emplace_back(count(begin), count(end));
  return spans;
}

/// [[begin, end], ...] of the oracle, which may reach past the end of the text.
inline Spans clamped(const Json& json, std::string_view text) {
  const int64_t length = characters(text);
  Spans spans;
  for (const Json& span : json) {
    spans.emplace_back(std::min(span[0].get<int64_t>(), length),
                       std::min(span[1].get<int64_t>(), length));
  }
  return spans;
}

}  // namespace guerdon::text
