/// Shape and length of a response. Text or token ids in, number out.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace guerdon::rules {

/// True when the response begins with "<think>", closes it, and opens no second one.
bool has_think_format(std::string_view response);

/// The response without its leading reasoning: what follows the last "</think>", or all of it.
std::string_view after_thinking(std::string_view response);

/// Share of the n-grams that are repetitions: 1 - distinct / all; 0 for fewer than n ids (Yeo et
/// al. 2025, arXiv:2502.03373, appendix C.2). Throws Error (Kind::bug) for n < 1.
double repeated_share(std::span<const int64_t> ids, int64_t n);

/// 0 up to max_length - cache, falling to -1 at max_length, -1 beyond (DAPO, arXiv:2503.14476,
/// eq. 13).
double soft_overlong(int64_t length, int64_t max_length, int64_t cache);

/// A half cosine from `start` at length 0 to `end` at max_length, `end` beyond (arXiv:2502.03373,
/// appendix C.1).
double cosine_between(double start, double end, int64_t length, int64_t max_length);

}  // namespace guerdon::rules
