// Two answers, parted by a zero byte: nothing throws, every number is finite, equality is
// symmetric and reflexive.
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>

#include "guerdon/base/error.h"
#include "guerdon/rules/answers.h"
#include "guerdon/rules/format.h"

namespace {

using namespace guerdon;

std::optional<double> number_in(std::string_view answer) {
  const std::string_view text = rules::after_thinking(answer);
  const std::optional<std::string> boxed = rules::boxed_answer(text);
  const std::optional<double> number = boxed ? rules::number_of(*boxed) : rules::last_number(text);
  GUERDON_CHECK(!number || (std::isfinite(*number) && rules::same_number(*number, *number)),
                "a number that does not equal itself");
  return number;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t middle = std::min(bytes.find('\0'), size);
  const std::string_view a = bytes.substr(0, middle), b = bytes.substr(std::min(middle + 1, size));
  const std::optional<double> x = number_in(a), y = number_in(b);
  if (x && y) {
    GUERDON_CHECK(rules::same_number(*x, *y) == rules::same_number(*y, *x), "not symmetric");
  }
  GUERDON_CHECK(rules::same_text(a, a), "a text that does not equal itself");
  GUERDON_CHECK(rules::same_text(a, b) == rules::same_text(b, a), "texts: not symmetric");
  rules::has_think_format(a);
  return 0;
}
