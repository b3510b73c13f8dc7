#include "guerdon/rules/answers.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>

namespace guerdon::rules {
namespace {

constexpr size_t kMaxBytes = size_t{64} << 10;  // longer answers are judged by their last 64 KiB

bool blank(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }
bool digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view tail(std::string_view text) {
  return text.size() > kMaxBytes ? text.substr(text.size() - kMaxBytes) : text;
}

// Removes `open` at the start together with `close` at the end, when both are there.
bool unwrap(std::string_view& text, std::string_view open, std::string_view close) {
  if (text.size() < open.size() + close.size() || !text.starts_with(open) ||
      !text.ends_with(close)) {
    return false;
  }
  text = trimmed(text.substr(open.size(), text.size() - open.size() - close.size()));
  return true;
}

// Digits with an optional fraction and exponent; commas only between groups of three digits.
std::optional<double> plain_number(std::string_view text) {
  std::string digits;
  bool negative = false;
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  size_t since_comma = 0;
  bool commas = false;
  size_t at = 0;
  for (; at < text.size() && (digit(text[at]) || text[at] == ','); ++at) {
    if (text[at] == ',') {
      if (digits.empty() || (commas ? since_comma != 3 : digits.size() > 3)) return std::nullopt;
      commas = true, since_comma = 0;
    } else {
      digits += text[at], ++since_comma;
    }
  }
  if (commas && since_comma != 3) return std::nullopt;
  digits += text.substr(at);
  if (digits.empty() || !(digit(digits[0]) || (digits[0] == '.' && digits.size() > 1))) return {};
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return negative ? -value : value;
}

std::optional<double> quotient(std::optional<double> above, std::optional<double> below) {
  if (!above || !below || *below == 0.0) return std::nullopt;
  const double value = *above / *below;
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

std::optional<double> latex_fraction(std::string_view text) {
  bool negative = false;
  if (text.starts_with('-')) negative = true, text.remove_prefix(1);
  for (const std::string_view name : {"\\frac{", "\\dfrac{", "\\tfrac{"}) {
    if (!text.starts_with(name)) continue;
    const size_t close = text.find('}', name.size());
    if (close == std::string_view::npos || close + 1 >= text.size() || text[close + 1] != '{' ||
        text.back() != '}') {
      return std::nullopt;
    }
    const std::optional<double> value =
        quotient(plain_number(trimmed(text.substr(name.size(), close - name.size()))),
                 plain_number(trimmed(text.substr(close + 2, text.size() - close - 3))));
    return value && negative ? std::optional(-*value) : value;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> boxed_answer(std::string_view response) {
  const std::string_view text = tail(response);
  constexpr std::string_view open = "\\boxed{";
  const size_t at = text.rfind(open);
  if (at == std::string_view::npos) return std::nullopt;
  int depth = 1;
  for (size_t i = at + open.size(); i < text.size(); ++i) {
    depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
    if (depth == 0) {
      return std::string(trimmed(text.substr(at + open.size(), i - at - open.size())));
    }
  }
  return std::nullopt;
}

std::optional<double> number_of(std::string_view text) {
  text = trimmed(text);
  if (text.size() > 256) return std::nullopt;
  unwrap(text, "\\(", "\\)") || unwrap(text, "$", "$");
  if (text.ends_with('.')) text = trimmed(text.substr(0, text.size() - 1));
  bool percent = false;
  for (const std::string_view sign : {"\\%", "%"}) {
    if (text.ends_with(sign)) {
      text = trimmed(text.substr(0, text.size() - sign.size()));
      percent = true;
      break;
    }
  }
  for (const std::string_view currency : {"\\$", "$"}) {
    if (text.starts_with(currency)) text = trimmed(text.substr(currency.size()));
  }
  std::optional<double> value = plain_number(text);
  if (!value) value = latex_fraction(text);
  if (const size_t slash = text.find('/'); !value && slash != std::string_view::npos) {
    value = quotient(plain_number(trimmed(text.substr(0, slash))),
                     plain_number(trimmed(text.substr(slash + 1))));
  }
  return value && percent ? std::optional(*value / 100.0) : value;
}

std::optional<double> last_number(std::string_view response) {
  const std::string_view text = tail(response);
  const auto part = [](char c) {
    return digit(c) || c == '.' || c == ',' || c == '/' || c == '-' || c == '+' || c == '%';
  };
  size_t end = text.size();
  while (end > 0) {
    while (end > 0 && !digit(text[end - 1])) --end;
    if (end == 0) return std::nullopt;
    size_t stop = end < text.size() && text[end] == '%' ? end + 1 : end;
    size_t begin = end;
    while (begin > 0 && end - begin < 64 && part(text[begin - 1])) --begin;
    // The longest piece that is a number, from the left: "3+4" holds "+4" and 4.
    for (; begin < end; ++begin) {
      if (const auto value = number_of(text.substr(begin, stop - begin))) return value;
    }
    end = begin;
  }
  return std::nullopt;
}

bool same_number(double a, double b) {
  return std::abs(a - b) <= 1e-9 * std::max({1e-300, std::abs(a), std::abs(b)});
}

bool same_text(std::string_view a, std::string_view b) {
  const auto normal = [](std::string_view text) {
    std::string out;
    for (const char c : trimmed(tail(text))) {
      if (blank(c)) {
        if (out.back() != ' ') out += ' ';
      } else {
        out += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
      }
    }
    return out;
  };
  return normal(a) == normal(b);
}

}  // namespace guerdon::rules
