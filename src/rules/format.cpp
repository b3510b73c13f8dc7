#include "guerdon/rules/format.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <vector>

#include "guerdon/base/error.h"

namespace guerdon::rules {

bool has_think_format(std::string_view response) {
  constexpr std::string_view open = "<think>", close = "</think>";
  return response.starts_with(open) && response.find(open, open.size()) == std::string_view::npos &&
         response.find(close, open.size()) != std::string_view::npos;
}

std::string_view after_thinking(std::string_view response) {
  constexpr std::string_view close = "</think>";
  const size_t at = response.rfind(close);
  return at == std::string_view::npos ? response : response.substr(at + close.size());
}

double repeated_share(std::span<const int64_t> ids, int64_t n) {
  GUERDON_CHECK(n >= 1, "repeated_share: n must be at least 1, got ", n);
  const auto width = static_cast<size_t>(n);
  if (ids.size() < width) return 0.0;
  std::set<std::vector<int64_t>> distinct;
  const size_t all = ids.size() - width + 1;
  for (size_t i = 0; i < all; ++i) {
    const auto gram = ids.subspan(i, width);
    distinct.emplace(gram.begin(), gram.end());
  }
  return 1.0 - static_cast<double>(distinct.size()) / static_cast<double>(all);
}

double soft_overlong(int64_t length, int64_t max_length, int64_t cache) {
  if (length <= max_length - cache) return 0.0;
  if (length > max_length) return -1.0;
  return static_cast<double>(max_length - cache - length) / static_cast<double>(cache);
}

double cosine_between(double start, double end, int64_t length, int64_t max_length) {
  const double progress =
      std::clamp(static_cast<double>(length) / static_cast<double>(max_length), 0.0, 1.0);
  return end + 0.5 * (start - end) * (1.0 + std::cos(progress * std::numbers::pi));
}

}  // namespace guerdon::rules
